"""How a message travels: the page that both ends share.

An outbox row becomes a Kafka record: topic, key and payload as they are, and these headers, in this order:

    id            the message's UUID, by which consumers know a duplicate
    type          what happened, e.g. OrderPlaced
    content-type  how to read the payload, application/json unless the row says otherwise
    ...           the row's own headers; among them what `context` adds: correlation-id, causation-id, traceparent
"""

import base64
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import orjson

from txbox.outbox.errors import InvalidHeader

__all__ = [
    "CONTENT_TYPE",
    "DEFAULT_CONTENT_TYPE",
    "ID",
    "REPLY_TO",
    "TYPE",
    "record_headers",
    "stored_headers",
    "unstorable",
]

ID: Final = "id"
TYPE: Final = "type"
CONTENT_TYPE: Final = "content-type"
REPLY_TO: Final = "reply-to"
DEFAULT_CONTENT_TYPE: Final = "application/json"

#: headers that have a place of their own in `Message`
_RESERVED: Final = {ID: "id=", TYPE: "type", REPLY_TO: "reply_to="}
_JSON: Final = (CONTENT_TYPE, DEFAULT_CONTENT_TYPE.encode())


def stored_headers(headers: Mapping[str, str | bytes], reply_to: str | None) -> bytes | None:
    """Return the JSON object for the row's `headers` column, None when there is nothing to store.

    Text stands as text, bytes as {"base64": ...}. Raises InvalidHeader.
    """
    stored: dict[str, object] = {name: _stored(name, value) for name, value in headers.items()}
    if reply_to is not None:
        stored[REPLY_TO] = _stored_value("reply_to", reply_to)
    return orjson.dumps(stored) if stored else None


def _stored(name: object, value: object) -> object:
    """Return the JSON value for one header."""
    if why := unstorable(name):
        raise InvalidHeader(name, f"its name will not do: {why}")
    if name in _RESERVED:
        raise InvalidHeader(name, f"set by txbox: use Message({_RESERVED[str(name)]}...)")
    return _stored_value(name, value)


def _stored_value(name: object, value: object) -> object:
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode("ascii")}
    if value != "" and (why := unstorable(value)):
        raise InvalidHeader(name, f"{why}; bytes may hold anything")
    return value


def unstorable(text: object) -> str | None:
    """Return why PostgreSQL could not store `text`, or no header carry it; None when all is well."""
    if not isinstance(text, str):
        return f"a {type(text).__name__} is no text: give a str"
    if not text:
        return "it is empty"
    if "\0" in text:
        return "it holds a NUL character, which PostgreSQL cannot store as text"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "it holds half a surrogate pair, which is no UTF-8"
    return None


def record_headers(id_: str, type_: str, stored: str | None) -> list[tuple[str, str | bytes | None]]:
    """Return a row's Kafka headers. `stored` is the column's JSON text. Called for each message, hence terse.

    Values that another writer put there and that are no text are sent as the JSON that they are.
    """
    if stored is None:
        return [(ID, id_), (TYPE, type_), _JSON]
    try:
        own = orjson.loads(stored)
    except ValueError:  # jsonb may hold 1e400, or nest deeper than a parser goes
        own = stored
    if not isinstance(own, dict):
        own = {} if own is None else {"headers": own}
    own.pop(ID, None)  # of two with one name a reader takes the last, and must find the columns' own
    own.pop(TYPE, None)
    content_type = own.pop(CONTENT_TYPE, DEFAULT_CONTENT_TYPE)
    headers = [(ID, id_), (TYPE, type_), (CONTENT_TYPE, _sent(content_type))]
    headers += [(name, _sent(value)) for name, value in own.items()]
    return headers


def _sent(value: object) -> str | bytes | None:
    """Return the bytes of one stored header."""
    match value:
        case str() | None:
            return value
        case {"base64": str(text), **rest} if not rest:
            with suppress(ValueError):
                return base64.b64decode(text, validate=True)
    return orjson.dumps(value)
