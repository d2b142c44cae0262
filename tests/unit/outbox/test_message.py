"""What may be written, what may not, and what the table gets."""

from typing import Any
from uuid import UUID

import pytest

from txbox.outbox import (
    InvalidHeader,
    InvalidKey,
    InvalidTopic,
    Message,
    NoRoute,
    OutboxError,
    PayloadNotSerializable,
    PayloadTooLarge,
)
from txbox.outbox.message import Row

SURROGATE = "half \ud800"
DEEP: Any = []
for _ in range(2000):
    DEEP = [DEEP]


def message(type_: Any = "T", payload: Any = None, **fields: Any) -> Message:
    return Message(type_, payload, **{"topic": "orders", **fields})


REFUSED: list[tuple[type[OutboxError], str, Message]] = [
    (NoRoute, "topic='orders'", Message("T")),
    (InvalidTopic, "249", message(topic="")),
    (InvalidTopic, "249", message(topic="a" * 250)),
    (InvalidTopic, "249", message(topic="with space")),
    (InvalidTopic, "249", message(topic="ü")),
    (InvalidTopic, "not '.'", message(topic=".")),
    (InvalidTopic, "not '.'", message(topic="..")),
    (InvalidTopic, "249", message(topic=b"orders")),
    (InvalidTopic, "249", message(topic="orders\n")),
    (InvalidTopic, "249", message(aggregate="a/b")),
    (InvalidHeader, "empty", message("")),
    (InvalidHeader, "NUL", message("a\0b")),
    (InvalidHeader, "surrogate", message(SURROGATE)),
    (InvalidHeader, "NoneType", message(None)),
    (InvalidHeader, "id=", message(headers={"id": "x"})),
    (InvalidHeader, "type", message(headers={"type": "x"})),
    (InvalidHeader, "reply_to=", message(headers={"reply-to": "x"})),
    (InvalidHeader, "empty", message(headers={"": "x"})),
    (InvalidHeader, "NUL", message(headers={"a\0": "x"})),
    (InvalidHeader, "int", message(headers={1: "x"})),
    (InvalidHeader, "bytes may hold", message(headers={"a": "x\0"})),
    (InvalidHeader, "surrogate", message(headers={"a": SURROGATE})),
    (InvalidHeader, "int", message(headers={"a": 1})),
    (InvalidHeader, "NoneType", message(headers={"a": None})),
    (InvalidHeader, "text", message(headers={"content-type": b"text/plain"})),
    (InvalidHeader, "NUL", message(reply_to="a\0")),
    (InvalidKey, "empty", message(key="")),
    (InvalidKey, "NUL", message(key="a\0")),
    (InvalidKey, "surrogate", message(key=SURROGATE)),
    (InvalidKey, "bool", message(key=True)),
    (InvalidKey, "bytes", message(key=b"k")),
    (InvalidKey, "float", message(key=1.5)),
    (PayloadTooLarge, "1,001 bytes, the limit is 1,000", message(payload=b"x" * 1001)),
    (PayloadNotSerializable, "object", message(payload=object())),
    (PayloadNotSerializable, "NaN", message(payload=float("nan"))),
    (PayloadNotSerializable, "NaN", message(payload={"a": [1, (float("inf"),)]})),
    (PayloadNotSerializable, "surrogate|UTF-8", message(payload={"a": SURROGATE})),
    (PayloadNotSerializable, "surrogate", message(payload=SURROGATE, headers={"content-type": "text/plain"})),
    (PayloadNotSerializable, "64-bit", message(payload=2**64)),
    (PayloadNotSerializable, "[Rr]ecursion", message(payload=DEEP)),
    (PayloadNotSerializable, "str", message(payload={1: "a"})),
    (PayloadNotSerializable, "bytes or str", message(payload={}, headers={"content-type": "text/plain"})),
]


@pytest.mark.parametrize(("error", "told", "refused"), REFUSED, ids=[f"{e.__name__}-{t}" for e, t, _ in REFUSED])
def test_what_kafka_or_postgres_could_not_carry_is_refused(
    error: type[OutboxError], told: str, refused: Message
) -> None:
    with pytest.raises(error, match=told):
        Row.of(refused, 1000)


@pytest.mark.parametrize(
    ("key", "stored"),
    [(None, None), ("k", "k"), (0, "0"), (-7, "-7"), (UUID(int=1), str(UUID(int=1))), ("ü", "ü"), (" ", " ")],
)
def test_keys_are_stored_as_text(key: Any, stored: str | None) -> None:
    assert Row.of(message(key=key), 1000).aggregateid == stored


@pytest.mark.parametrize("topic", ["a", "a" * 249, "a.b_c-D9", "..."])
def test_topics_that_kafka_takes_are_taken(topic: str) -> None:
    assert Row.of(message(topic=topic, aggregate=topic), 1000).topic == topic


def test_a_payload_as_large_as_the_limit_is_taken() -> None:
    assert len(Row.of(message(payload=b"x" * 1000), 1000).payload or b"") == 1000


def test_a_message_is_checked_when_it_is_added_and_not_before() -> None:
    assert Message("").type == ""


def test_an_empty_header_is_a_header() -> None:
    assert Row.of(message(headers={"a": ""}), 1000).headers == '{"a":""}'
