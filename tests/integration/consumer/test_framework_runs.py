"""A consumer whose handlers get a Session, or use Django's models, from Kafka to the end of hard times."""

from collections import Counter
from typing import Any

import pytest
from psycopg import Connection

from tests.integration.consumer.test_frameworks import ORMS
from tests.integration.frameworks import TABLE, django_database
from tests.integration.running import running
from tests.integration.topics import Raw, Topics
from tests.waiting import eventually
from txbox.consumer import Consumer, ConsumerConfig, Received, Runner
from txbox.daemon import Database, Kafka

#: ends the consumer's session
END = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'txbox consumer%'"


@pytest.mark.parametrize("name", ORMS)
def test_each_message_has_its_effect_once_and_in_order_whatever_happens(
    name: str, topics: Topics, topic: str, database: Database, kafka: Kafka, conn: Connection
) -> None:
    """Some fail, some fail for a while, and the database ends the session twice."""
    orm, seen, bad = ORMS[name], Counter[int](), {3, 40, 41}
    conn.execute(TABLE)
    conn.execute("ALTER TABLE orders ADD key text, ADD n bigint GENERATED ALWAYS AS IDENTITY")
    consumer = Consumer(topics.prefix, topics=[topic], transactions=orm.transactions)

    @consumer.handler("T")
    def handle(given: Any, message: Received) -> None:
        seen[message.offset] += 1
        with orm.block(given):
            orm.add(given, message.offset, note="bad" if message.offset in bad else message.key or "")

    with django_database(database.url):
        config = ConsumerConfig(backoff_first=0.02, backoff_cap=0.2, attempts=1000, max_batch=7)
        with running(Runner(consumer, database, kafka, config)):
            topics.put(topic, *(Raw.message(key=b"k%d" % (n % 5)) for n in range(50)))
            eventually(lambda: _count(conn) == 36, within=60)  # k0 from 40, k1 from 41, k3 from 3 on are held
            conn.execute(END)
            topics.put(topic, *(Raw.message(key=b"k%d" % (n % 5)) for n in range(50, 100)))
            eventually(lambda: _count(conn) == 56, within=60)
            conn.execute(END)
            bad.clear()
            eventually(lambda: _count(conn) == 100, within=60)
    rows = conn.execute("SELECT id, note FROM orders ORDER BY n").fetchall()
    for key in range(5):
        assert [id_ for id_, note in rows if note == f"k{key}"] == list(range(key, 100, 5))
    assert seen[3] > 1
    assert conn.execute("SELECT count(*) FROM txbox.held_messages").fetchone() == (0,)
    assert conn.execute("SELECT count(*) FROM txbox.processed_messages").fetchone() == (100,)


def _count(conn: Connection[Any]) -> int:
    row = conn.execute("SELECT count(*) FROM orders").fetchone()
    return int(row[0]) if row else 0
