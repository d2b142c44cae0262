"""Payloads to bytes and back; headers to a row and on to a record."""

import dataclasses
import math
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from unittest.mock import ANY
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, RootModel, SecretStr, field_serializer

from txbox.outbox import Message, PayloadNotSerializable
from txbox.outbox.envelope import record_headers, stored_headers
from txbox.outbox.message import Row
from txbox.outbox.payload import decode, encode, is_json

JSON = "application/json"


@dataclasses.dataclass(frozen=True, slots=True)
class Money:
    amount: Decimal
    currency: str


class Colour(Enum):
    RED = "red"


class Line(BaseModel):
    """A pydantic model with a will of its own."""

    price: Decimal
    colour: Colour = Colour.RED
    note: str | None = Field(default=None, serialization_alias="remark")
    secret: str = Field(default="", exclude=True)

    @field_serializer("colour")
    def _in_capitals(self, colour: Colour) -> str:
        return colour.value.upper()


class Ratio(BaseModel):
    ratio: float
    note: str | None = None


class TextRatio(Ratio):
    model_config = ConfigDict(ser_json_inf_nan="strings")


class ConstantRatio(Ratio):
    model_config = ConfigDict(ser_json_inf_nan="constants")


class Cleaned(Ratio):
    @field_serializer("ratio")
    def _none_for_nan(self, ratio: float) -> float | None:
        return None if math.isnan(ratio) else ratio


class Secret(BaseModel):
    value: SecretStr = "not one"  # type: ignore[assignment]


def travel(payload: Any, headers: dict[str, str | bytes] | None = None) -> tuple[bytes | None, object]:
    """What a payload is on the wire, and what a reader makes of it."""
    row = Row.of(Message("T", payload, topic="t", headers=headers), 100_000)
    sent = dict(record_headers("i", "t", row.headers))
    content_type = sent["content-type"]
    return row.payload, decode(
        row.payload, content_type.decode() if isinstance(content_type, bytes) else str(content_type)
    )


KINDS: list[tuple[Any, bytes | None, Any]] = [
    (None, None, None),
    ({"a": [1, None, "ü"]}, '{"a":[1,null,"ü"]}'.encode(), {"a": [1, None, "ü"]}),
    ([], b"[]", []),
    ((1, 2), b"[1,2]", [1, 2]),
    ("text", b'"text"', "text"),
    ("", b'""', ""),
    (0, b"0", 0),
    (1.5, b"1.5", 1.5),
    (False, b"false", False),
    (2**63, b"9223372036854775808", 2**63),
    (b"\0\xff", b"\0\xff", b"\0\xff"),
    (b"", b"", b""),
    (bytearray(b"x"), b"x", b"x"),
    (memoryview(b"x"), b"x", b"x"),
    (Money(Decimal("1.10"), "EUR"), b'{"amount":"1.10","currency":"EUR"}', {"amount": "1.10", "currency": "EUR"}),
    (UUID(int=1), b'"00000000-0000-0000-0000-000000000001"', str(UUID(int=1))),
    (datetime(2024, 1, 2, tzinfo=UTC), b'"2024-01-02T00:00:00+00:00"', "2024-01-02T00:00:00+00:00"),
    (Colour.RED, b'"red"', "red"),
    (Line(price=Decimal("1.10")), b'{"price":"1.10","colour":"RED","note":null}', ANY),
    (
        {"lines": [Line(price=Decimal(1), note="ü")]},
        '{"lines":[{"price":"1","colour":"RED","note":"ü"}]}'.encode(),
        ANY,
    ),
    (RootModel[list[int]]([1, 2]), b"[1,2]", [1, 2]),
    (TextRatio(ratio=math.nan), b'{"ratio":"NaN","note":null}', {"ratio": "NaN", "note": None}),
    (Cleaned(ratio=math.nan, note="Infinity"), b'{"ratio":null,"note":"Infinity"}', ANY),
    ({"nul": "a\0b"}, b'{"nul":"a\\u0000b"}', {"nul": "a\0b"}),
    ({"n": None, "f": 1e308}, b'{"n":null,"f":1e+308}', {"n": None, "f": 1e308}),
]


@pytest.mark.parametrize(("payload", "wire", "read"), KINDS, ids=lambda value: repr(value)[:30])
def test_every_kind_of_payload_is_read_as_it_was_written(payload: Any, wire: bytes | None, read: object) -> None:
    assert travel(payload) == (wire, read)


def test_bytes_that_are_said_to_be_json_are_read_as_json() -> None:
    assert travel(b'{"a": 1}', {"content-type": JSON}) == (b'{"a": 1}', {"a": 1})


@pytest.mark.parametrize(
    ("content_type", "read"),
    [("text/plain", "ü"), ("TEXT/HTML; charset=utf-8", "ü"), ("application/x-own", "ü".encode()), ("", "ü".encode())],
)
def test_text_under_another_content_type_is_utf8(content_type: str, read: object) -> None:
    raw = encode("T", "ü", content_type)
    assert raw == "ü".encode()
    assert decode(raw, content_type) == read


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(json_values)
def test_any_json_comes_back_as_it_was(payload: object) -> None:
    raw = encode("T", payload, JSON)
    assert decode(raw, JSON) == payload


@given(
    st.recursive(
        st.just(float("nan")), lambda inner: st.lists(inner, min_size=1) | st.dictionaries(st.text(), inner, min_size=1)
    )
)
def test_nan_is_found_however_deep(payload: object) -> None:
    with pytest.raises(PayloadNotSerializable, match="NaN"):
        encode("T", payload, JSON)


@pytest.mark.parametrize("number", [math.nan, math.inf])
@pytest.mark.parametrize("model", [Ratio, ConstantRatio])
def test_nan_is_found_in_a_model(model: type[Ratio], number: float) -> None:
    for payload in (model(ratio=number), {"a": [model(ratio=number)]}, Money(model(ratio=number), "")):  # type: ignore[arg-type]
        with pytest.raises(PayloadNotSerializable, match="NaN"):
            encode("T", payload, JSON)


def test_a_model_that_cannot_be_written_says_why() -> None:
    with pytest.raises(PayloadNotSerializable, match="get_secret_value"):
        encode("T", [Secret()], JSON)


@given(st.binary())
def test_bytes_come_back_as_they_were(payload: bytes) -> None:
    assert travel(payload) == (payload, payload)


@pytest.mark.parametrize(
    ("content_type", "json"),
    [
        (JSON, True),
        ("application/json; charset=utf-8", True),
        ("Application/JSON", True),
        ("application/vnd.orders+json", True),
        ("application/cloudevents+json;v=1", True),
        ("text/json", False),
        ("application/jsonl", False),
        ("", False),
    ],
)
def test_what_is_json(content_type: str, json: bool) -> None:
    assert is_json(content_type) == json


@pytest.mark.parametrize(("raw", "content_type"), [(b"{", JSON), (b"", JSON), (b"NaN", JSON), (b"\xff", "text/plain")])
def test_what_is_not_what_it_says_is_a_value_error(raw: bytes, content_type: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # its subclass depends on the content type
        decode(raw, content_type)


header_names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).filter(
    lambda name: name not in {"id", "type", "reply-to", "content-type"}
)
header_values = st.binary() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(st.dictionaries(header_names, header_values))
def test_headers_travel_as_they_are(headers: dict[str, str | bytes]) -> None:
    stored = stored_headers(headers, None)
    sent = record_headers("i", "t", stored.decode() if stored else None)
    assert [name for name, _ in sent[:3]] == ["id", "type", "content-type"]
    assert dict(sent[3:]) == headers


@pytest.mark.parametrize(
    ("stored", "sent"),
    [
        ('{"n": 7}', b"7"),
        ('{"n": {"a": 1}}', b'{"a":1}'),
        ('{"n": {"base64": "AP8="}}', b"\0\xff"),
        ('{"n": {"base64": 1}}', b'{"base64":1}'),
        ('{"n": {"base64": "AP8=", "more": 1}}', b'{"base64":"AP8=","more":1}'),
        ('{"n": null}', None),
        ('{"n": ["a"]}', b'["a"]'),
    ],
)
def test_headers_of_other_writers_are_sent_as_what_they_are(stored: str, sent: bytes | None) -> None:
    assert record_headers("i", "t", stored)[3:] == [("n", sent)]


@pytest.mark.parametrize("stored", ['{"n": {"base64": "?"}}', '{"n": {"base64": "ü"}}', '["a"]', '"text"', "7", "null"])
def test_headers_that_are_no_headers_hold_nothing_up(stored: str) -> None:
    assert record_headers("i", "t", stored)[:2] == [("id", "i"), ("type", "t")]


def test_the_row_says_what_id_and_type_are() -> None:
    assert record_headers("i", "t", '{"id": "x", "type": "y", "own": "z"}') == [
        ("id", "i"),
        ("type", "t"),
        ("content-type", JSON),
        ("own", "z"),
    ]
