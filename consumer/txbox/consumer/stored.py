"""How a record stands in held_messages, and how it comes out again, byte for byte."""

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import orjson

from txbox.consumer.received import Record

__all__ = ["StoredHeaders", "record_of", "storable", "stored_headers"]

#: [[name, base64 or null], ...]: a value may be any bytes, and a name stand there twice
StoredHeaders = Sequence[tuple[str, str | None]]

_EPOCH: Final = datetime.fromtimestamp(0, UTC)


def storable(text: str | None) -> str | None:
    """Return text that PostgreSQL can store; the bytes as they came stand in the headers."""
    return None if text is None else text.replace("\0", "\\x00")


def stored_headers(headers: Sequence[tuple[str, bytes | None]]) -> str:
    """Return all headers, in order and with repeats, as JSON."""
    pairs = [(storable(name), None if value is None else base64.b64encode(value).decode()) for name, value in headers]
    return orjson.dumps(pairs).decode()


def record_of(
    *,
    topic: str,
    partition: int,
    offset: int,
    timestamp: datetime | None,
    key: bytes | None,
    payload: bytes | None,
    headers: StoredHeaders,
) -> Record:
    """Return the record that a row was made of."""
    return Record(
        topic=topic,
        partition=partition,
        offset=offset,
        timestamp=None if timestamp is None else round((timestamp - _EPOCH).total_seconds() * 1000),
        key=key,
        value=payload,
        headers=[(name, None if value is None else base64.b64decode(value)) for name, value in headers],
    )
