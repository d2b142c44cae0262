"""A relay whose link to PostgreSQL is cut, in every phase of its work."""

from collections.abc import Iterator

import psycopg
import pytest

from tests.integration.conftest import Publish
from tests.integration.running import running
from tests.integration.topics import Topics
from tests.integration.toxiproxy import Proxy, through
from tests.waiting import eventually
from txbox.daemon import Database, Kafka
from txbox.outbox import Message
from txbox.relay import Relay, RelayConfig


@pytest.fixture
def relay(database: Database, kafka: Kafka, postgres_link: Proxy) -> Iterator[Relay]:
    """A relay that leads, through the proxy."""
    relay = Relay(Database(url=through(database.url, postgres_link)), kafka, RelayConfig(batch=50))
    with running(relay):
        eventually(lambda: relay.health.report().role == "leader")
        yield relay


def test_a_dropped_connection(
    relay: Relay, conn: psycopg.Connection, publish: Publish, topics: Topics, topic: str, postgres_link: Proxy
) -> None:
    ids = publish(*(Message("T", topic=topic) for _ in range(10)))
    postgres_link.drop()
    ids += publish(*(Message("T", topic=topic) for _ in range(10)))
    eventually(lambda: topics.count(topic) >= 20)
    assert list(dict.fromkeys(topics.ids(topic))) == list(map(str, ids))
