"""The copy of a dead message for others to see: a message of the outbox, written where the row becomes dead.

The row in `held_messages` is the truth, and what people retry; the copy is news. It has the original's key, payload and
type, its headers, and in their places these (numbers binary and big-endian, as Spring Kafka writes and reads them):

    kafka_dlt-original-topic, -partition (4 bytes), -offset (8), -timestamp (8), -timestamp-type, -consumer-group
    kafka_dlt-exception-fqcn, -exception-message
    txbox-reason, txbox-attempts, txbox-first-failed-at, txbox-last-failed-at
    txbox-message-id       the UUID by which `txbox held` and the inbox know the original
    txbox-original-id      its header `id`, as it came; absent if it had none

Its own id is made of the consumer and the original's id: a message that dies again after a retry is copied again under
the same id, and whoever keeps an inbox sees one. What a row of the outbox cannot hold is told, and never ends anything:

    a key that is no text (or empty, or has a NUL)       no key, and the header txbox-key-base64
    a type that is no text, or none, or 1,000 bytes long type txbox.dead-letter, txbox-original-type if there was one
    reply-to                                             txbox-original-reply-to: nobody waits for an answer to the copy
    headers without a value                              an empty value
    headers whose name is empty or holds a NUL           left out
    two headers of one name, or one with a name of ours  the last, ours
    after any of the last three                          txbox-original-headers: all, as JSON [[name, base64|null], ..]
    more than 900,000 bytes                              without its payload, then its headers, then its key, as
                                                         txbox-left-out says
"""

import base64
import hashlib
import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import orjson
from psycopg import Connection

from txbox.consumer.errors import UnfitTemplate
from txbox.consumer.received import Record
from txbox.outbox import Message, Outbox
from txbox.outbox.envelope import CONTENT_TYPE, DEFAULT_CONTENT_TYPE, ID, REPLY_TO, TYPE, unstorable

__all__ = ["DEFAULT_TEMPLATE", "DeadLetters", "Death", "check", "copy", "dead_letter", "exception_name", "topic_of"]

DEFAULT_TEMPLATE: Final = "{topic}.{consumer}.dlt"

#: ids of copies are UUIDs of this namespace
_COPIES: Final = uuid.uuid5(uuid.NAMESPACE_URL, "txbox:dead-letter")
#: of a message whose type no row can hold
_UNTYPED: Final = "txbox.dead-letter"
#: what Kafka takes as one record by default is 1 MB
_MOST: Final = 900_000
#: characters of an error's text
_MOST_TEXT: Final = 2000
#: bytes of a type, an id, ... that a copy carries
_LONGEST: Final = 1000
_LONGEST_TOPIC: Final = 249

Headers = dict[str, str | bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """How a message came to be dead."""

    #: by which the inbox knows it
    message_id: UUID
    consumer: str
    #: attempts, rejected, unreadable, no_id, ...
    reason: str
    #: what people are told; never anything of the payload
    error: str | None
    #: module and name of the exception's class, None when nothing was raised
    exception: str | None
    attempts: int
    first_failed_at: datetime
    last_failed_at: datetime


def copy(conn: Connection[Any], outbox: Outbox, record: Record, death: Death, template: str = DEFAULT_TEMPLATE) -> UUID:
    """Write the copy of a dead message in the transaction that is open, and return the copy's id.

    No record is refused, whatever it holds. Raises psycopg.Error, and NotInTransaction outside of one.
    """
    return outbox.add(conn, dead_letter(record, death, template))


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """Where one consumer's copies go."""

    outbox: Outbox
    consumer: str
    template: str

    def write(
        self,
        conn: Connection[Any],
        record: Record,
        message_id: UUID,
        *,
        reason: str,
        told: str | None,
        error: BaseException | None,
        attempts: int,
        first_failed_at: datetime | None = None,
    ) -> None:
        """Write the copy of a message that is dead from now on, in the transaction that is open."""
        now = datetime.now(UTC)
        death = Death(
            message_id=message_id,
            consumer=self.consumer,
            reason=reason,
            error=told,
            exception=None if error is None else exception_name(error),
            attempts=attempts,
            first_failed_at=first_failed_at or now,
            last_failed_at=now,
        )
        copy(conn, self.outbox, record, death, self.template)


def check(template: str, consumer: str, topics: Iterable[str]) -> None:
    """Refuse a template that makes no topic, or one that the consumer reads: its copies would die in turn, for ever.

    Raises UnfitTemplate. To be called before anything dies.
    """
    try:
        made = {topic: template.format(topic=topic, consumer=consumer) for topic in topics}
    except (LookupError, ValueError, AttributeError) as error:
        raise UnfitTemplate(template, "only {topic} and {consumer} can stand in it") from error
    for topic, name in made.items():
        if not re.sub(r"[.]", "", name):
            raise UnfitTemplate(template, f"it makes {name!r} of topic {topic!r}, which is no name for a topic")
        if topic_of(template, topic, consumer) in made:
            raise UnfitTemplate(template, f"it makes {name!r} of topic {topic!r}, which consumer {consumer!r} reads")


def topic_of(template: str, topic: str, consumer: str) -> str:
    """Return the topic for copies. What Kafka allows in no name becomes _, and a name too long ends in its hash."""
    name = template.format(topic=topic, consumer=consumer)
    fit = re.sub(r"[^a-zA-Z0-9._-]", "_", name)
    if len(fit) <= _LONGEST_TOPIC:
        return fit
    return f"{fit[: _LONGEST_TOPIC - 17]}.{hashlib.blake2b(name.encode(), digest_size=8).hexdigest()}"


def exception_name(error: BaseException) -> str:
    """Return the full name of an exception's class."""
    return f"{type(error).__module__}.{type(error).__qualname__}"


def dead_letter(record: Record, death: Death, template: str = DEFAULT_TEMPLATE) -> Message:
    """Return the copy of a dead message. Pure."""
    last = dict(record.headers)
    type_ = _short(last.get(TYPE))
    own = {**_about(record, death), **_originals(record, last, type_)}
    key, payload, headers = _text(record.key), record.value, _carried(record, last, own)
    if record.key is not None and key is None:
        own["txbox-key-base64"] = base64.b64encode(record.key)
    left_out: list[str] = []
    if _size({**headers, **own}, key, payload) > _MOST:
        payload, left_out = None, ["payload"]
    if _size({**headers, **own}, key, payload) > _MOST:
        headers, left_out = {}, [*left_out, "headers"]
    if _size({**headers, **own}, key, payload) > _MOST:
        key, left_out = None, [*left_out, "key"]
        own.pop("txbox-key-base64", None)
    if left_out:
        own["txbox-left-out"] = ", ".join(left_out)
    return Message(
        type_ or _UNTYPED,
        payload,
        topic=topic_of(template, record.topic, death.consumer),
        key=key,
        headers={CONTENT_TYPE: _short(last.get(CONTENT_TYPE)) or DEFAULT_CONTENT_TYPE, **headers, **own},
        id=uuid.uuid5(_COPIES, f"{death.consumer}/{death.message_id}"),
    )


def _about(record: Record, death: Death) -> Headers:
    """Return the headers that say where the original stands and how it died."""
    time = record.timestamp
    about = {
        "kafka_dlt-original-topic": record.topic,
        "kafka_dlt-original-partition": record.partition.to_bytes(4, signed=True),
        "kafka_dlt-original-offset": record.offset.to_bytes(8, signed=True),
        "kafka_dlt-original-timestamp": (-1 if time is None else time).to_bytes(8, signed=True),
        "kafka_dlt-original-timestamp-type": "NoTimestampType" if time is None else "CreateTime",
        "kafka_dlt-original-consumer-group": death.consumer,
        "kafka_dlt-exception-fqcn": death.exception,
        "kafka_dlt-exception-message": death.error,
        "txbox-reason": death.reason,
        "txbox-attempts": str(death.attempts),
        "txbox-first-failed-at": death.first_failed_at.isoformat(),
        "txbox-last-failed-at": death.last_failed_at.isoformat(),
        "txbox-message-id": str(death.message_id),
    }
    return {name: _told(value) for name, value in about.items() if value is not None}


def _originals(record: Record, last: Mapping[str, bytes | None], type_: str | None) -> Headers:
    """Return the headers of the original that the copy carries under other names, having its own of theirs."""
    moved = {
        "txbox-original-id": last.get(ID),
        "txbox-original-reply-to": last.get(REPLY_TO),
        "txbox-original-type": last.get(TYPE) if type_ is None else None,
    }
    return {name: _value(value) for name, value in moved.items() if value is not None and len(value) <= _LONGEST}


def _carried(record: Record, last: Mapping[str, bytes | None], own: Headers) -> Headers:
    """Return the headers of the original that the copy carries as they are; and all of them, where that loses any."""
    given = {name: value for name, value in last.items() if name not in (ID, TYPE, REPLY_TO, CONTENT_TYPE)}
    carried = {name: _value(value or b"") for name, value in given.items() if not unstorable(name) and name not in own}
    content_type = last.get(CONTENT_TYPE)
    exact = (
        len(record.headers) == len(last)
        and len(carried) == len(given)
        and None not in last.values()
        and not any(len(last.get(name) or b"") > _LONGEST for name in (ID, TYPE, REPLY_TO))
        and (content_type is None or _short(content_type) is not None)
    )
    if not exact:
        carried["txbox-original-headers"] = orjson.dumps(
            [
                (
                    name.encode(errors="backslashreplace").decode(),
                    None if value is None else base64.b64encode(value).decode(),
                )
                for name, value in record.headers
            ]
        )
    return carried


def _text(raw: bytes | None) -> str | None:
    """Return bytes as text, None if they are none, or none that a row's text columns can hold."""
    try:
        text = None if raw is None else raw.decode()
    except UnicodeDecodeError:
        return None
    return None if text is None or unstorable(text) else text


def _short(raw: bytes | None) -> str | None:
    """Return bytes as text, None if they are none, or too long to be what they should."""
    return None if raw is None or len(raw) > _LONGEST else _text(raw)


def _value(raw: bytes) -> str | bytes:
    """Return a header's value so that people can read it in the outbox, if it is text."""
    text = _text(raw)
    return raw if text is None else text


def _told(value: str | bytes) -> str | bytes:
    """Return text that any row can hold, and that is no longer than people read."""
    if isinstance(value, bytes):
        return value
    return value[:_MOST_TEXT].encode(errors="backslashreplace").decode().replace("\0", "\\x00")


def _size(headers: Headers, key: str | None, payload: bytes | None) -> int:
    """Return how many bytes of a record these take, but for some a header."""
    values = [*headers, *headers.values(), key or "", payload or b""]
    return sum(len(value.encode() if isinstance(value, str) else value) for value in values)
