"""Rows as the relay's parts pass them."""

from confluent_kafka import KafkaError

from txbox.relay.batch import Batch, Row
from txbox.relay.cursor import Cursor, Frontier

__all__ = ["TIMED_OUT", "Delivered", "batch_of", "frontier_at", "row"]

TIMED_OUT = KafkaError(KafkaError.REQUEST_TIMED_OUT)


class Delivered:
    """A message as librdkafka reports it: without its headers."""

    def topic(self) -> str:
        return "orders"


def row(seq: int = 1, payload: bytes | None = b"12345", topic: str = "orders", created: int = 0) -> Row:
    return Row(seq, topic, "key", f"id-{seq}", "Happened", payload, None, created, len(payload or b""))


def frontier_at(tail: int) -> Frontier:
    return Frontier.of(Cursor(tail))


def batch_of(rows: int, *, more: bool = False) -> Batch:
    return Batch([row(seq) for seq in range(rows)], frontier_at(rows), more)
