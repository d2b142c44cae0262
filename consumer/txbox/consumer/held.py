"""Messages that were taken but have not had their effect."""

import base64
from collections.abc import Iterable
from typing import Any

import orjson
from psycopg import Connection

from txbox.consumer.received import Record, Unreadable, written_at
from txbox.schema import Statements

__all__ = ["Held"]


class Held:
    """The held messages of one consumer, on one connection."""

    def __init__(self, conn: Connection[Any], schema: str, consumer_id: int) -> None:
        self._statements = Statements(__package__, "held.sql", schema)
        self._conn = conn
        self._consumer_id = consumer_id

    def bury(self, messages: Iterable[Unreadable]) -> None:
        """Keep messages that can never be handled, in the transaction that is open, all their bytes included."""
        rows = [self._row(message) for message in messages]
        if rows:
            self._conn.cursor().executemany(self._statements["bury"], rows)

    def _row(self, message: Unreadable) -> dict[str, object]:
        record = message.record
        return {
            "consumer": self._consumer_id,
            "id": message.id,
            "reason": message.reason,
            "error": _storable(message.error),
            "key": record.key,
            "type": _storable(message.type),
            "payload": record.value,
            "headers": _headers(record),
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "timestamp": written_at(record),
        }


def _storable(text: str | None) -> str | None:
    """Return text that PostgreSQL can store; the bytes as they came stand in the headers."""
    return None if text is None else text.replace("\0", "\\x00")


def _headers(record: Record) -> str:
    """Return all headers, in order and with repeats, as JSON: [[name, base64 or null], ...]."""
    pairs = [
        (_storable(name), None if value is None else base64.b64encode(value).decode()) for name, value in record.headers
    ]
    return orjson.dumps(pairs).decode()
