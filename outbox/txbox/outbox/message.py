"""A message as it is written."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Self
from uuid import UUID

from uuid_utils.compat import uuid7

from txbox.outbox import envelope
from txbox.outbox.context import TRACEPARENT, TRACESTATE, carried, opentelemetry
from txbox.outbox.errors import InvalidHeader, InvalidKey, InvalidTopic, NoRoute, PayloadTooLarge
from txbox.outbox.payload import BYTES, encode
from txbox.schema.topics import is_topic

__all__ = ["Message", "Row"]


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
        """Check and encode a message, with its context. Raises every OutboxError that is about the message itself."""
        id_, own = message.id or uuid7(), message.headers or {}
        spans = opentelemetry()
        if spans is None or TRACEPARENT in own:  # else it is another's span
            return cls._of(message, id_, _joined(carried(), own), max_payload)
        with spans.creating(str(id_), message.topic, carried()) as headers:
            return cls._of(message, id_, _joined(headers, own), max_payload)

    @classmethod
    def _of(cls, message: Message, id_: UUID, own: Mapping[str, str | bytes], max_payload: int) -> Self:
        if why := envelope.unstorable(message.type):
            raise InvalidHeader(envelope.TYPE, why)
        headers, content_type = _headers(message, own)
        payload = encode(message.type, message.payload, content_type)
        if payload is not None and len(payload) > max_payload:
            raise PayloadTooLarge(message.type, len(payload), max_payload)
        if message.topic is None and message.aggregate is None:
            raise NoRoute(message.type)
        stored = envelope.stored_headers(headers, message.reply_to)
        return cls(
            id=id_,
            aggregatetype=_topic_name(message.aggregate),
            aggregateid=_key(message.key),
            type=message.type,
            payload=payload,
            headers=stored.decode() if stored else None,
            topic=_topic_name(message.topic),
        )


def _joined(context: Mapping[str, str], own: Mapping[str, str | bytes]) -> Mapping[str, str | bytes]:
    """Return the context's headers and the message's own, which win."""
    if not context:
        return own
    joined = {**context, **own}
    if TRACEPARENT in own and TRACESTATE not in own:
        joined.pop(TRACESTATE, None)  # it says nothing of another trace
    return joined


def _headers(message: Message, own: Mapping[str, str | bytes]) -> tuple[Mapping[str, str | bytes], str]:
    """Return the headers and the content type that they, or the payload, tell."""
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
    if not isinstance(name, str) or not is_topic(name):
        raise InvalidTopic(name)
    return name
