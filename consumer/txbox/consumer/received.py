"""A Kafka record, and the message that it is, if it can be read."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from txbox.outbox.envelope import CONTENT_TYPE, DEFAULT_CONTENT_TYPE, ID, TYPE
from txbox.outbox.payload import decode

__all__ = ["Received", "Record", "Unreadable", "read", "type_of", "written_at"]

#: ids of other systems, which are no UUIDs, become UUIDs of this namespace
_FOREIGN: Final = uuid.uuid5(uuid.NAMESPACE_URL, "txbox:message")
_EPOCH: Final = datetime.fromtimestamp(0, UTC)


class Record(NamedTuple):
    """What came from Kafka, as it came."""

    topic: str
    partition: int
    offset: int
    #: milliseconds since 1970, None when the producer gave none
    timestamp: int | None
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A message as a handler gets it."""

    #: the same each time that this message comes: use it as the key of effects outside the database
    id: UUID
    type: str | None
    #: bytes that are no UTF-8 are shown as \\xNN
    key: str | None
    #: parsed JSON, text or bytes, by content type; None for a tombstone
    payload: object
    #: text where it is UTF-8; of two with one name, the last
    headers: Mapping[str, str | bytes | None]
    #: the payload as it came
    raw: bytes | None
    topic: str
    partition: int
    offset: int
    #: when it was written (the outbox row's created_at), None if the producer gave no time
    timestamp: datetime | None
    #: 1 for the first
    attempt: int = 1
    #: whether messages of its key that came later have been handled before it
    out_of_order: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A record that no handler can be given, now or later."""

    id: UUID
    type: str | None
    #: unreadable or no_id
    reason: str
    error: str
    record: Record

    @property
    def topic(self) -> str:
        """The record's."""
        return self.record.topic

    @property
    def partition(self) -> int:
        """The record's."""
        return self.record.partition

    @property
    def offset(self) -> int:
        """The record's."""
        return self.record.offset


def type_of(record: Record) -> str | None:
    """Return the header `type`, None if there is none. Raises UnicodeDecodeError."""
    value = _last(record, TYPE)
    return None if value is None else value.decode()


def read(record: Record, attempt: int = 1) -> Received | Unreadable:
    """Return the message that a record is, or why it is none."""
    last = dict(record.headers)
    raw_id = last.get(ID)
    message_id = _message_id(record, raw_id)
    try:
        raw_type = last.get(TYPE)
        type_ = None if raw_type is None else raw_type.decode()
    except UnicodeDecodeError:
        return Unreadable(id=message_id, type=None, reason="unreadable", error="header type is no UTF-8", record=record)
    if raw_id is None:
        error = "no header id: a copy of this record could not be known as one"
        return Unreadable(id=message_id, type=type_, reason="no_id", error=error, record=record)
    headers = {name: _text(value) for name, value in last.items()}
    given = headers.get(CONTENT_TYPE)
    content_type = given if isinstance(given, str) else DEFAULT_CONTENT_TYPE
    try:
        payload = decode(record.value, content_type)
    except ValueError as error:  # never the payload itself: it may be secret
        why = f"the payload is no {content_type}: {type(error).__name__}"
        return Unreadable(id=message_id, type=type_, reason="unreadable", error=why, record=record)
    return Received(
        id=message_id,
        type=type_,
        key=None if record.key is None else record.key.decode(errors="backslashreplace"),
        payload=payload,
        headers=headers,
        raw=record.value,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp=written_at(record),
        attempt=attempt,
    )


def written_at(record: Record) -> datetime | None:
    """Return when a record was written; None when nobody said, or when that is no day of any calendar."""
    try:
        return None if record.timestamp is None else _EPOCH + timedelta(milliseconds=record.timestamp)
    except OverflowError:  # a producer may put microseconds where milliseconds belong
        return None


def _message_id(record: Record, raw: bytes | None) -> UUID:
    """Return the id by which the inbox knows a record.

    Its own, if that is a UUID. Else one made of its topic and id, so that the "42" of two topics are two. Without an
    id one made of its place and time, which only a redelivery has too.
    """
    if raw is None:
        return uuid.uuid5(_FOREIGN, f"{record.topic}/{record.partition}/{record.offset}/{record.timestamp}")
    text = raw.decode(errors="backslashreplace")
    try:
        return UUID(text)
    except ValueError:
        return uuid.uuid5(_FOREIGN, f"{record.topic}/{text}")


def _last(record: Record, name: str) -> bytes | None:
    """Return the last value of a header."""
    return next((value for key, value in reversed(record.headers) if key == name), None)


def _text(value: bytes | None) -> str | bytes | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return value
