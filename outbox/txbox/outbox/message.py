"""A message as it is written."""

import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Final, Self
from uuid import UUID

from uuid_utils.compat import uuid7

from txbox.outbox import envelope
from txbox.outbox.errors import InvalidHeader, InvalidKey, InvalidTopic, NoRoute, PayloadTooLarge
from txbox.outbox.payload import BYTES, encode

__all__ = ["Message", "Row"]

# https://github.com/apache/kafka/blob/trunk/clients/src/main/java/org/apache/kafka/common/internals/Topic.java
_TOPIC: Final = re.compile(r"[a-zA-Z0-9._-]{1,249}")


@dataclass(frozen=True, slots=True)
class Message:
    """What happened, for others to know. Checked when it is added to an outbox, not when it is made."""

    #: what happened, e.g. "OrderPlaced"; consumers choose their handler by it
    type: str
    #: a dict, a dataclass, a str, bytes, ...; None is a tombstone
    payload: object = None
    _: KW_ONLY
    #: where it goes
    topic: str | None = None
    #: where it goes when there is no topic: `relay.topic` with this in the place of {aggregate}
    aggregate: str | None = None
    #: messages of one key stay in order
    key: str | int | UUID | None = None
    #: text or bytes by name
    headers: Mapping[str, str | bytes] | None = None
    #: the topic where an answer is awaited
    reply_to: str | None = None
    #: a UUIDv7 is made when there is none; give one to send the same message again on purpose
    id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A message as the outbox table takes it."""

    id: UUID
    aggregatetype: str | None
    aggregateid: str | None
    type: str
    payload: bytes | None
    #: JSON text
    headers: str | None
    topic: str | None

    @classmethod
    def of(cls, message: Message, max_payload: int) -> Self:
        """Check and encode a message. Raises every OutboxError that is about the message itself."""
        if why := envelope.unstorable(message.type):
            raise InvalidHeader(envelope.TYPE, why)
        headers, content_type = _headers(message)
        payload = encode(message.type, message.payload, content_type)
        if payload is not None and len(payload) > max_payload:
            raise PayloadTooLarge(message.type, len(payload), max_payload)
        if message.topic is None and message.aggregate is None:
            raise NoRoute(message.type)
        stored = envelope.stored_headers(headers, message.reply_to)
        return cls(
            id=message.id or uuid7(),
            aggregatetype=_topic_name(message.aggregate),
            aggregateid=_key(message.key),
            type=message.type,
            payload=payload,
            headers=stored.decode() if stored else None,
            topic=_topic_name(message.topic),
        )


def _headers(message: Message) -> tuple[Mapping[str, str | bytes], str]:
    """Return the message's own headers and the content type that they, or the payload, tell."""
    own = message.headers or {}
    given = own.get(envelope.CONTENT_TYPE)
    if given is None and isinstance(message.payload, bytes | bytearray | memoryview):
        return {**own, envelope.CONTENT_TYPE: BYTES}, BYTES
    if isinstance(given, bytes):
        raise InvalidHeader(envelope.CONTENT_TYPE, "the value is text: give a str")
    return own, given or envelope.DEFAULT_CONTENT_TYPE


def _key(key: object) -> str | None:
    """Return the key as text."""
    if key is None:
        return None
    if isinstance(key, bool) or not isinstance(key, str | int | UUID):
        raise InvalidKey(f"a {type(key).__name__} is no key: give str, int or UUID")
    text = str(key)
    if why := envelope.unstorable(text):
        raise InvalidKey(why)
    return text


def _topic_name(name: object) -> str | None:
    """Return the name if Kafka allows it."""
    if name is None:
        return None
    if not isinstance(name, str) or not _TOPIC.fullmatch(name) or name in (".", ".."):
        raise InvalidTopic(name)
    return name
