"""How consumers stand, for people to look at."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec
from psycopg import Connection
from psycopg.rows import dict_row

from txbox.consumer.choosing import MOST_BEHIND, shown
from txbox.daemon import Kafka
from txbox.daemon.trust import asking
from txbox.schema import Statements

__all__ = ["Group", "blocked", "groups", "lag", "show", "standing", "stats"]

_PATIENCE: Final = 10.0
#: for what is only a part of an answer
_GLANCE: Final = 3.0

Record = dict[str, Any]


def stats(conn: Connection[Any], schema: str = "txbox") -> list[Record]:
    """Return a record for each consumer: messages processed (counted: slow on a large inbox), waiting and dead."""
    return _rows(conn, schema, "stats")


def show(conn: Connection[Any], message_id: UUID, schema: str = "txbox") -> list[Record]:
    """Return what each consumer knows of a message; empty if none took it."""
    return _rows(conn, schema, "show", id=message_id)


def standing(conn: Connection[Any], schema: str = "txbox") -> list[Record]:
    """Return a record for each consumer: messages that wait, and are dead, and how many keys those block."""
    return _rows(conn, schema, "standing")


def blocked(conn: Connection[Any], schema: str = "txbox", *, limit: int = 100) -> list[Record]:
    """Return the keys that a dead message blocks, the longest blocked first: which message, and how many are behind it.

    Those behind are counted up to 1,000. Cheap, however much is held: the index of dead messages, and that of keys.
    """
    found = _rows(conn, schema, "blocked", limit=limit, most_behind=MOST_BEHIND)
    return [{**record, "key": shown(record["key"])} for record in found]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What Kafka knows of a consumer."""

    #: processes that are in the group now
    members: int
    #: messages behind the ends of its partitions; None before it has committed an offset
    lag: int | None
    #: messages a second that were handled, while we looked; None before it has committed an offset
    per_second: float | None


def groups(kafka: Kafka, consumers: Sequence[str], *, over: float) -> dict[str, Group]:
    """Return what Kafka knows of these consumers, from two looks `over` seconds apart. Raises KafkaException."""
    if not consumers:
        return {}
    with asking(kafka) as admin:
        described = admin.describe_consumer_groups(list(consumers), request_timeout=_GLANCE)
        members = {name: len(future.result(timeout=2 * _GLANCE).members) for name, future in described.items()}
        before, began = {name: _lags(admin, name, _GLANCE) for name in consumers}, time.monotonic()
        time.sleep(over)
        after, seconds = {name: _lags(admin, name, _GLANCE) for name in consumers}, time.monotonic() - began
    return {
        name: Group(
            members=members[name],
            lag=sum(record["lag"] for record in after[name]) if after[name] else None,
            per_second=max(_committed(after[name]) - _committed(before[name]), 0) / seconds if before[name] else None,
        )
        for name in consumers
    }


def _committed(lags: Sequence[Record]) -> int:
    return sum(record["committed"] for record in lags)


def lag(kafka: Kafka, consumer: str) -> list[Record]:
    """Return a record for each partition in which the consumer has committed an offset, and its distance to the end.

    The committed offset is read first, the end afterwards: a distance is never negative. Raises KafkaException.
    """
    with asking(kafka) as admin:
        return _lags(admin, consumer, _PATIENCE)


def _lags(admin: AdminClient, consumer: str, patience: float) -> list[Record]:
    asked = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(consumer)], request_timeout=patience)
    committed: list[TopicPartition] = asked[consumer].result(timeout=2 * patience).topic_partitions or []
    ends = admin.list_offsets(
        {TopicPartition(p.topic, p.partition): OffsetSpec.latest() for p in committed},  # type: ignore[no-untyped-call]
        request_timeout=patience,
    )
    end_of = {(p.topic, p.partition): future.result(timeout=2 * patience).offset for p, future in ends.items()}
    return [
        {
            "topic": p.topic,
            "partition": p.partition,
            "committed": p.offset,
            "end": end_of[p.topic, p.partition],
            "lag": max(end_of[p.topic, p.partition] - p.offset, 0),
        }
        for p in sorted(committed, key=lambda p: (p.topic, p.partition))
    ]


def _rows(conn: Connection[Any], schema: str, statement: str, **parameters: object) -> list[Record]:
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(Statements(__package__, "report.sql", schema)[statement], parameters).fetchall()
