"""Fixtures of the consumer's tests: a batch settled on a real connection, and effects that can be counted."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from tests.integration.consumer.group import Group
from tests.integration.consumer.holding import Holding
from tests.integration.consumer.shop import CONFIG, Shop
from tests.integration.relay.conftest import open_folder, primary
from tests.integration.running import running
from tests.integration.topics import Topics
from txbox.consumer import Consumer, Runner, Transactions
from txbox.consumer.batch import Batches
from txbox.consumer.consumer import plan
from txbox.consumer.guard import GuardedConnection
from txbox.consumer.held import Held
from txbox.consumer.inbox import Inbox
from txbox.consumer.outcomes import Outcome
from txbox.consumer.received import Received, Record
from txbox.daemon import Database, Kafka, connect

__all__ = ["open_folder", "primary"]

#: puts one batch through a consumer's handlers
Settle = Callable[..., Outcome]


@pytest.fixture
def consumer(topic_name: str, txbox_topic: str) -> Consumer:
    """A consumer whose Kafka group is the test's own."""
    return Consumer(txbox_topic, topics=[topic_name])


@pytest.fixture
def topic_name() -> str:
    """What the consumer subscribes to, where no broker is asked."""
    return "orders"


@pytest.fixture
def guarded(database: Database) -> Iterator[GuardedConnection]:
    """A connection as handlers get it."""
    conn = connect(GuardedConnection, database, "consumer test")
    yield conn
    conn.close()


@pytest.fixture
def transactions(guarded: GuardedConnection) -> Transactions:
    """What handlers get."""
    return Transactions(guarded)


@pytest.fixture
def settle_batch(guarded: GuardedConnection, consumer: Consumer, transactions: Transactions) -> Settle:
    """Settle records as one batch."""
    inbox = Inbox(guarded, "txbox", consumer.name)
    held = Held(guarded, "txbox", inbox.consumer_id)

    batches = Batches(guarded, inbox, held, transactions=transactions)

    def batch(*records: Record, **how: Any) -> Outcome:
        return batches.settle(plan(consumer.handlers, records), **how)

    return batch


class Effects:
    """A table into which handlers write what they did."""

    def __init__(self, conn: psycopg.Connection[Any]) -> None:
        self._conn = conn
        conn.execute("CREATE TABLE effect (n bigint GENERATED ALWAYS AS IDENTITY, id uuid NOT NULL, key text)")

    def add(self, conn: psycopg.Connection[Any], message: Received) -> None:
        """A handler."""
        conn.execute("INSERT INTO effect (id, key) VALUES (%s, %s)", (message.id, message.key))

    def ids(self) -> list[str]:
        return [str(id_) for (id_,) in self._conn.execute("SELECT id FROM effect ORDER BY n")]

    def count(self) -> int:
        return len(self.ids())


@pytest.fixture
def effects(conn: psycopg.Connection) -> Effects:
    return Effects(conn)


@pytest.fixture
def holding(conn: psycopg.Connection) -> Holding:
    """Held messages, put there by hand."""
    return Holding(conn)


@pytest.fixture
def group(database: Database, kafka: Kafka, topics: Topics) -> Group:
    """Members that share a topic of six partitions."""
    return Group(database.url, kafka, topics, topics.make(partitions=6))


@pytest.fixture
def shop(consumer: Consumer, effects: Effects) -> Shop:
    shop = Shop(effects.add)
    consumer.handler("T")(shop.handle)
    return shop


@pytest.fixture
def run(consumer: Consumer, database: Database, kafka: Kafka) -> Callable[..., Any]:
    @contextmanager
    def run(**settings: Any) -> Iterator[Runner]:
        runner = Runner(consumer, database, kafka, replace(CONFIG, **settings))
        with running(runner):
            yield runner

    return run
