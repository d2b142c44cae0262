"""The fixtures of integration tests."""

from tests.integration.conftest import admin, publish, topic, topics

__all__ = ["admin", "publish", "topic", "topics"]
