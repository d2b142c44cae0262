"""A dead message's copy comes out of Kafka as Spring's tools expect it."""

import struct
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from confluent_kafka import Consumer

from tests.integration.topics import Topics
from txbox.consumer.dead_letters import Death, copy, topic_of
from txbox.consumer.received import Record, read
from txbox.daemon import Kafka
from txbox.outbox import NotInTransaction, Outbox
from txbox.relay import Relay

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def original(topics: Topics) -> Record:
    """A record that is odd in every way that it may be."""
    headers = [("id", str(uuid4()).encode()), ("type", b"Placed"), ("a", None), ("b", b"\0\xff"), ("b", b"2")]
    return Record(topics.prefix, 300, 2**40 + 1, 1_700_000_000_123, b"\xff\0", b"\0\xff", headers)


@pytest.fixture
def death(original: Record) -> Death:
    return Death(
        message_id=read(original).id,
        consumer="billing",
        reason="attempts",
        error="ValueError at shop.py:7",
        exception="builtins.ValueError",
        attempts=16,
        first_failed_at=AT,
        last_failed_at=AT,
    )


def test_a_plain_consumer_reads_the_copy_and_its_binary_numbers(
    conn: psycopg.Connection[Any],
    relay_once: Callable[..., Relay],
    topics: Topics,
    kafka: Kafka,
    original: Record,
    death: Death,
) -> None:
    name = topics.make(topic_of("{topic}.{consumer}.dlt", "", "billing"))
    with conn.transaction():
        id_ = copy(conn, Outbox(), original, death)
    with conn.transaction():
        assert copy(conn, Outbox(), original, death) == id_
    relay_once()
    plain = Consumer({"bootstrap.servers": kafka.bootstrap_servers, "group.id": name, "auto.offset.reset": "earliest"})
    try:
        plain.subscribe([name])
        message = plain.poll(60)
        assert message is not None
        assert (message.error(), message.value(), message.key()) == (None, b"\0\xff", None)
        pairs = message.headers()
    finally:
        plain.close()
    assert isinstance(pairs, list)
    headers: dict[str, Any] = dict(pairs)
    assert headers["id"] == str(id_).encode()
    assert [struct.unpack(">i", headers["kafka_dlt-original-partition"])] == [(300,)]
    assert [struct.unpack(">q", headers[f"kafka_dlt-original-{what}"]) for what in ("offset", "timestamp")] == [
        (2**40 + 1,),
        (1_700_000_000_123,),
    ]
    assert headers["kafka_dlt-original-topic"].decode() == original.topic
    assert (headers["txbox-key-base64"], headers["b"]) == (b"/wA=", b"2")
    assert topics.ids(name) == [str(id_)] * 2


def test_a_copy_is_written_with_the_death_or_not_at_all(
    conn: psycopg.Connection[Any], original: Record, death: Death
) -> None:
    with pytest.raises(NotInTransaction):
        copy(conn, Outbox(), original, death)
    with conn.transaction(force_rollback=True):
        copy(conn, Outbox(), original, death)
    assert conn.execute("SELECT FROM txbox.outbox").rowcount == 0
