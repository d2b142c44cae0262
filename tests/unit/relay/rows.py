"""Rows as the relay's parts pass them."""

from dataclasses import dataclass

from confluent_kafka import KafkaError

from txbox.relay.batch import Batch, Row
from txbox.relay.cursor import Cursor, Frontier

__all__ = ["TIMED_OUT", "Delivered", "batch_of", "frontier_at", "row"]

TIMED_OUT = KafkaError(KafkaError.REQUEST_TIMED_OUT)


@dataclass(frozen=True)
class Delivered:
    """A message as librdkafka reports it: without its headers."""

    of: Row | None = None

    def topic(self) -> str:
        return self.of.topic if self.of else "orders"

    def key(self) -> bytes | None:
        return self.of.key.encode() if self.of and self.of.key else None

    def timestamp(self) -> tuple[int, int]:
        return 1, self.of.created if self.of else 0


def row(seq: int = 1, payload: bytes | None = b"12345", topic: str = "orders", created: int = 0) -> Row:
    return Row(seq, topic, "key", f"id-{seq}", "Happened", payload, None, created, len(payload or b""))


def frontier_at(tail: int) -> Frontier:
    return Frontier.of(Cursor(tail))


def batch_of(rows: int, *, more: bool = False) -> Batch:
    return Batch([row(seq) for seq in range(rows)], frontier_at(rows), more)
