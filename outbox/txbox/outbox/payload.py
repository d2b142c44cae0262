"""Payloads to bytes and back: who writes a dict reads a dict, who writes bytes reads the same bytes."""

import dataclasses
import math
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Final, Protocol, TypeGuard

import orjson

from txbox.outbox.envelope import DEFAULT_CONTENT_TYPE
from txbox.outbox.errors import PayloadNotSerializable

__all__ = ["BYTES", "decode", "encode", "is_json"]

#: the content type of bytes that say nothing of themselves
BYTES: Final = "application/octet-stream"
_NO_NAN: Final = "JSON has no NaN and no infinity"


class _Model(Protocol):
    """pydantic's BaseModel, as far as it is used here."""

    model_config: Mapping[str, object]

    def model_dump_json(self) -> str: ...
    def model_dump(self, *, mode: str) -> object: ...


@lru_cache(maxsize=64)  # asked of each message, and a service knows few
def is_json(content_type: str) -> bool:
    """Return whether payloads of this content type are JSON (application/json, anything+json; parameters aside)."""
    essence = content_type.partition(";")[0].strip().lower()
    return essence == DEFAULT_CONTENT_TYPE or essence.endswith("+json")


def encode(type_: str, payload: object, content_type: str) -> bytes | None:
    """Return the payload's bytes; None stays None, a tombstone. bytes are taken as they are.

    JSON by content type: dict, list, str, numbers, dataclass, UUID, datetime, Enum, Decimal (as text), and pydantic's
    models as they write themselves; each within others too.
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
        raise PayloadNotSerializable(type_, str(error.__cause__ or error)) from error
    # orjson writes NaN and infinities as null, in silence. Looking for them costs nothing where there is no null.
    if b"null" in encoded and _has_non_finite(payload):
        raise PayloadNotSerializable(type_, _NO_NAN)
    return encoded


def _default(value: object) -> object:
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise TypeError(_NO_NAN)
        return str(value)
    if _is_model(value):
        text = value.model_dump_json()
        # A model may be told to write NaN and infinities as JavaScript does, which is no JSON.
        if ("NaN" in text or "Infinity" in text) and not _is_valid(text):
            raise TypeError(_NO_NAN)
        return orjson.Fragment(text)
    raise TypeError(f"no JSON for a {type(value).__module__}.{type(value).__qualname__}")


def _is_model(value: object) -> TypeGuard[_Model]:
    """Return whether it is one of pydantic's (version 2), which is not imported for that."""
    return hasattr(type(value), "model_dump_json")


def _is_valid(text: str) -> bool:
    try:
        orjson.loads(text)
    except ValueError:
        return False
    return True


def _has_non_finite(value: object) -> bool:
    match value:
        case float():
            return not math.isfinite(value)
        case dict():
            return any(_has_non_finite(item) for item in value.values())
        case list() | tuple():
            return any(_has_non_finite(item) for item in value)
        case _ if _is_model(value):
            is_text = value.model_config.get("ser_json_inf_nan") == "strings"
            return not is_text and _has_non_finite(value.model_dump(mode="json"))
        case _ if dataclasses.is_dataclass(value):
            return any(_has_non_finite(getattr(value, field.name)) for field in dataclasses.fields(value))
        case _:
            return False
