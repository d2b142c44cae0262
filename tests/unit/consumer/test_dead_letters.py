"""The copy of a dead message: what it has of the original, and that there is one for every original."""

import base64
import json
import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.consumer.records import record
from txbox.consumer.dead_letters import Death, check, dead_letter, exception_name, topic_of
from txbox.consumer.errors import UnfitEdit, UnfitTemplate
from txbox.consumer.received import Record, read
from txbox.outbox import Message
from txbox.outbox.envelope import record_headers
from txbox.outbox.message import Row

ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
AT = datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)


def death(original: Record, **other: Any) -> Death:
    given = {
        "message_id": read(original).id,
        "consumer": "billing",
        "reason": "attempts",
        "error": "ValueError at shop.py:7",
        "exception": "builtins.ValueError",
        "attempts": 16,
        "first_failed_at": AT,
        "last_failed_at": AT + timedelta(minutes=7),
    }
    return Death(**{**given, **other})


def sent(message: Message) -> tuple[Row, dict[str, bytes]]:
    """The row of the outbox, and the headers that the relay sends."""
    row = Row.of(message, 900_000)
    pairs = [
        (name, value.encode() if isinstance(value, str) else value)
        for name, value in record_headers(str(row.id), row.type, row.headers)
    ]
    assert len(dict(pairs)) == len(pairs)
    return row, {name: value for name, value in pairs if value is not None}


def copied(original: Record, **other: Any) -> tuple[Row, dict[str, bytes]]:
    return sent(dead_letter(original, death(original, **other)))


def test_it_is_the_original_with_where_it_stood_and_how_it_died() -> None:
    original = record(
        "Placed", b'{"n":1}', ("h", b"\xff"), ("t", b"text"), id=ID, key=b"k", partition=300, offset=2**40
    )
    row, headers = copied(original)
    assert (row.topic, row.aggregateid, row.type, row.payload) == ("orders.billing.dlt", "k", "Placed", b'{"n":1}')
    assert (
        headers
        | {
            "type": b"Placed",
            "content-type": b"application/json",
            "h": b"\xff",
            "t": b"text",
            "kafka_dlt-original-topic": b"orders",
            "kafka_dlt-original-partition": struct.pack(">i", 300),
            "kafka_dlt-original-offset": struct.pack(">q", 2**40),
            "kafka_dlt-original-timestamp": struct.pack(">q", 1_700_000_000_000),
            "kafka_dlt-original-timestamp-type": b"CreateTime",
            "kafka_dlt-original-consumer-group": b"billing",
            "kafka_dlt-exception-fqcn": b"builtins.ValueError",
            "kafka_dlt-exception-message": b"ValueError at shop.py:7",
            "txbox-reason": b"attempts",
            "txbox-attempts": b"16",
            "txbox-first-failed-at": b"2026-01-02T03:04:05.678000+00:00",
            "txbox-last-failed-at": b"2026-01-02T03:11:05.678000+00:00",
            "txbox-message-id": str(ID).encode(),
            "txbox-original-id": str(ID).encode(),
        }
        == headers
    )
    assert set(headers) - {"id"} == {name for name in headers if name != "id"}
    assert "txbox-original-headers" not in headers


def test_its_id_is_its_own_and_the_same_each_time_that_this_message_dies() -> None:
    original = record(id=ID)
    ids = {
        copied(original)[0].id,
        copied(original, attempts=32, reason="rejected", last_failed_at=AT)[0].id,
        copied(original, consumer="mail")[0].id,
        copied(record())[0].id,
        ID,
    }
    assert len(ids) == 4


@pytest.mark.parametrize("key", [b"\xff", b"", b"a\0b", b"\xff" * 3000])
def test_a_key_that_is_no_text_travels_as_a_header(key: bytes) -> None:
    row, headers = copied(record(key=key))
    assert row.aggregateid is None
    assert base64.b64decode(headers["txbox-key-base64"]) == key


@pytest.mark.parametrize("key", ["k", "schlüssel✓", "k" * 3000])
def test_a_key_that_is_text_is_the_key(key: str) -> None:
    row, headers = copied(record(key=key.encode()))
    assert (row.aggregateid, "txbox-key-base64" in headers) == (key, False)


@pytest.mark.parametrize(
    ("original", "type_", "kept"),
    [
        (record("Placed"), "Placed", None),
        (record(None), "txbox.dead-letter", None),
        (record(b"\xff"), "txbox.dead-letter", b"\xff"),
        (record("a\0b"), "txbox.dead-letter", b"a\0b"),
        (record(""), "txbox.dead-letter", b""),
        (record("x" * 2000), "txbox.dead-letter", None),
    ],
)
def test_a_type_is_kept_if_a_row_can_hold_it(original: Record, type_: str, kept: bytes | None) -> None:
    row, headers = copied(original)
    assert (row.type, headers.get("txbox-original-type")) == (type_, kept)


@pytest.mark.parametrize(("id_", "kept"), [("42", b"42"), (b"\xff", b"\xff"), (None, None)])
def test_the_originals_id_is_told_as_it_came_and_as_it_is_known(id_: Any, kept: bytes | None) -> None:
    original = record(id=id_)
    headers = copied(original)[1]
    assert headers.get("txbox-original-id") == kept
    assert headers["txbox-message-id"] == str(read(original).id).encode()


@pytest.mark.parametrize(
    "odd",
    [
        [("a", b"1"), ("a", b"2")],
        [("a", None)],
        [("", b"x")],
        [("a\0b", b"x")],
        [("a\ud800b", b"x")],
        [("txbox-reason", b"theirs")],
        [("kafka_dlt-original-offset", b"theirs")],
        [("content-type", b"\xff")],
        [("id", b"another")],
    ],
    ids=str,
)
def test_headers_that_a_row_cannot_hold_are_there_whole_in_one_that_it_can(odd: Sequence[tuple[str, bytes]]) -> None:
    original = record("T", b"{}", ("fine", b"f"), *odd)
    headers = copied(original)[1]
    all_ = [
        (name, None if value is None else base64.b64decode(value))
        for name, value in json.loads(headers["txbox-original-headers"])
    ]
    expected = [(name.encode(errors="backslashreplace").decode(), value) for name, value in original.headers]
    assert all_ == expected
    assert (headers["fine"], headers["txbox-reason"]) == (b"f", b"attempts")
    assert headers["kafka_dlt-original-offset"] == struct.pack(">q", original.offset)


def test_of_two_headers_of_one_name_the_last_counts_and_nothing_is_something() -> None:
    headers = copied(record("T", b"{}", ("a", b"1"), ("a", b"2"), ("n", None)))[1]
    assert (headers["a"], headers["n"]) == (b"2", b"")


def test_nobody_is_asked_to_answer_a_copy() -> None:
    row, headers = copied(record("T", b"{}", ("reply-to", b"answers")))
    assert ("reply-to" in headers, headers["txbox-original-reply-to"]) == (False, b"answers")
    assert row.headers is not None


@pytest.mark.parametrize("value", [None, b"", b"{", b"\xff\0"])
def test_a_payload_is_copied_whatever_it_is(value: bytes | None) -> None:
    row, headers = copied(record(value=value))
    assert (row.payload, headers["content-type"]) == (value, b"application/json")
    assert copied(record("T", value, ("content-type", b"text/plain")))[1]["content-type"] == b"text/plain"


def test_without_a_time_or_an_exception_it_says_so_as_spring_does() -> None:
    headers = copied(record(timestamp=None), exception=None, error=None)[1]
    assert headers["kafka_dlt-original-timestamp"] == struct.pack(">q", -1)
    assert headers["kafka_dlt-original-timestamp-type"] == b"NoTimestampType"
    assert not [name for name in headers if name.startswith("kafka_dlt-exception")]


def test_an_error_is_told_in_a_length_that_people_read_and_a_row_can_hold() -> None:
    headers = copied(record(), error="\0ü\ud800" + "x" * 10_000)[1]
    assert headers["kafka_dlt-exception-message"].startswith("\\x00ü\\ud800xx".encode())
    assert len(headers["kafka_dlt-exception-message"]) < 2100
    assert exception_name(UnfitEdit(ID, "x")) == "txbox.consumer.errors.UnfitEdit"


@pytest.mark.parametrize(
    ("original", "left_out"),
    [
        (record("T", b"x" * 880_000, key=b"k"), None),
        (record("T", b"x" * 5_000_000, ("h", b"1"), key=b"k"), b"payload"),
        (record("T", b"x" * 500_000, ("h", b"x" * 500_000), key=b"k"), b"payload"),
        (record("T", b"x", ("h", b"\xff" * 2_000_000), key=b"k"), b"payload, headers"),
        (record("T", b"x", *[("h", b"x")] * 100_000, key=b"k"), b"payload, headers"),
        (record("T", b"x", key=b"k" * 2_000_000), b"payload, headers, key"),
        (record("T", b"x", key=b"\xff" * 2_000_000), b"payload, headers, key"),
        (record("T" * 2_000_000, b"x", id=b"i" * 2_000_000), b"payload, headers"),
    ],
)
def test_what_is_too_large_for_a_record_is_left_out_and_told(original: Record, left_out: bytes | None) -> None:
    row, headers = copied(original)
    assert headers.get("txbox-left-out") == left_out
    assert sum(len(name) + len(value) for name, value in headers.items()) < 950_000
    assert headers["txbox-message-id"] == str(read(original).id).encode()
    assert (row.payload is None) == (left_out is not None)


raw = st.none() | st.binary(max_size=20)


@settings(max_examples=50)
@given(
    st.builds(
        Record,
        st.just("orders"),
        st.integers(0, 2**31 - 1),
        st.integers(0, 2**63 - 1),
        st.none() | st.integers(-(2**63), 2**63 - 1),
        raw,
        raw,
        st.lists(
            st.tuples(st.sampled_from(["id", "type", "content-type", "reply-to", "txbox-reason"]) | st.text(), raw)
        ),
    ),
    st.none() | st.text(),
    st.text(min_size=1),
)
def test_every_record_has_a_copy_that_the_outbox_takes(original: Record, error: str | None, consumer: str) -> None:
    row, headers = copied(original, error=error, consumer=consumer)
    assert row.payload == original.value
    assert headers["txbox-reason"] == b"attempts"


@pytest.mark.parametrize(
    ("consumer", "made"),
    [
        ("billing", "orders.billing.dlt"),
        ("billing/eu ✓", "orders.billing_eu__.dlt"),
        ("x" * 300, None),
    ],
)
def test_a_topic_is_a_name_that_kafka_allows(consumer: str, made: str | None) -> None:
    name = topic_of("{topic}.{consumer}.dlt", "orders", consumer)
    assert made in (None, name)
    assert len(name) <= 249
    assert topic_of("{topic}.{consumer}.dlt", "orders", consumer + "y") != name


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{topic}", "reads"),
        ("payments", "reads"),
        ("{topic", "only {topic}"),
        ("{}", "only {topic}"),
        ("{group}", "only {topic}"),
        ("{topic.name}", "only {topic}"),
        ("", "no name"),
        ("..", "no name"),
    ],
)
def test_a_template_that_will_not_do_is_refused_before_anything_dies(template: str, why: str) -> None:
    with pytest.raises(UnfitTemplate, match=why):
        check(template, "billing", ["orders", "payments"])
    check("{topic}.{consumer}.dlt", "billing", ["orders", "payments"])
    check("dead", "billing", ["orders", "payments"])
