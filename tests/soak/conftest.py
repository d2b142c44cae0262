"""The fixtures of integration tests."""

from tests.integration.conftest import admin, postgres_link, publish, sandbox, topic, topics, toxiproxy

__all__ = ["admin", "postgres_link", "publish", "sandbox", "topic", "topics", "toxiproxy"]
