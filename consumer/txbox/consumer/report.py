"""How consumers stand, for people to look at."""

from typing import Any, Final
from uuid import UUID

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec
from psycopg import Connection
from psycopg.rows import dict_row

from txbox.consumer.choosing import MOST_BEHIND, shown
from txbox.daemon import Kafka, admin_settings
from txbox.schema import Statements

__all__ = ["blocked", "lag", "show", "standing", "stats"]

_PATIENCE: Final = 10.0

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


def lag(kafka: Kafka, consumer: str) -> list[Record]:
    """Return a record for each partition in which the consumer has committed an offset, and its distance to the end.

    The committed offset is read first, the end afterwards: a distance is never negative. Raises KafkaException.
    """
    admin = AdminClient(admin_settings(kafka))
    asked = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(consumer)], request_timeout=_PATIENCE)
    committed: list[TopicPartition] = asked[consumer].result(timeout=2 * _PATIENCE).topic_partitions or []
    ends = admin.list_offsets(
        {TopicPartition(p.topic, p.partition): OffsetSpec.latest() for p in committed},  # type: ignore[no-untyped-call]
        request_timeout=_PATIENCE,
    )
    end_of = {(p.topic, p.partition): future.result(timeout=2 * _PATIENCE).offset for p, future in ends.items()}
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
