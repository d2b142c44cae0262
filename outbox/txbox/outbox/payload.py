"""Payloads to bytes and back: who writes a dict reads a dict, who writes bytes reads the same bytes."""

import dataclasses
import math
from decimal import Decimal
from functools import lru_cache
from typing import Final

import orjson

from txbox.outbox.envelope import DEFAULT_CONTENT_TYPE
from txbox.outbox.errors import PayloadNotSerializable

__all__ = ["BYTES", "decode", "encode", "is_json"]

#: the content type of bytes that say nothing of themselves
BYTES: Final = "application/octet-stream"


@lru_cache(maxsize=64)  # asked of each message, and a service knows few
def is_json(content_type: str) -> bool:
    """Return whether payloads of this content type are JSON (application/json, anything+json; parameters aside)."""
    essence = content_type.partition(";")[0].strip().lower()
    return essence == DEFAULT_CONTENT_TYPE or essence.endswith("+json")


def encode(type_: str, payload: object, content_type: str) -> bytes | None:
    """Return the payload's bytes; None stays None, a tombstone. bytes are taken as they are.

    JSON by content type: dict, list, str, numbers, dataclass, UUID, datetime, Enum, Decimal (as text).
    Any other content type: str, as UTF-8. Raises PayloadNotSerializable.
    """
    if payload is None or isinstance(payload, bytes):
        return payload
    if isinstance(payload, bytearray | memoryview):
        return bytes(payload)
    if is_json(content_type):
        return _json(type_, payload)
    if isinstance(payload, str):
        try:
            return payload.encode()
        except UnicodeEncodeError as error:
            raise PayloadNotSerializable(type_, "the text holds half a surrogate pair, which is no UTF-8") from error
    raise PayloadNotSerializable(type_, f"a {type(payload).__name__} as {content_type}: give bytes or str")


def decode(raw: bytes | None, content_type: str) -> object:
    """Return what `encode` was given, as near as the content type tells. Raises ValueError when `raw` is not that."""
    if raw is None:
        return None
    if is_json(content_type):
        return orjson.loads(raw)
    return raw.decode() if content_type.lower().startswith("text/") else raw


def _json(type_: str, payload: object) -> bytes:
    try:
        encoded = orjson.dumps(payload, default=_default)
    except (TypeError, RecursionError) as error:  # orjson's JSONEncodeError is a TypeError
        raise PayloadNotSerializable(type_, str(error)) from error
    # orjson writes NaN and infinities as null, in silence. Looking for them costs nothing where there is no null.
    if b"null" in encoded and _has_non_finite(payload):
        raise PayloadNotSerializable(type_, "JSON has no NaN and no infinity")
    return encoded


def _default(value: object) -> object:
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise TypeError("JSON has no NaN and no infinity")
        return str(value)
    raise TypeError(f"no JSON for a {type(value).__module__}.{type(value).__qualname__}")


def _has_non_finite(value: object) -> bool:
    match value:
        case float():
            return not math.isfinite(value)
        case dict():
            return any(_has_non_finite(item) for item in value.values())
        case list() | tuple():
            return any(_has_non_finite(item) for item in value)
        case _ if dataclasses.is_dataclass(value):
            return any(_has_non_finite(getattr(value, field.name)) for field in dataclasses.fields(value))
        case _:
            return False
