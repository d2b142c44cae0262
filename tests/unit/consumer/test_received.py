"""Which message a record is, or why it is none."""

import uuid
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.consumer.records import record
from txbox.consumer import Received
from txbox.consumer.received import Record, Unreadable, read

ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")


def readable(given: Record, attempt: int = 1) -> Received:
    message = read(given, attempt)
    assert isinstance(message, Received), message
    return message


def test_a_message_is_read_field_by_field() -> None:
    message = readable(record("T", b'{"a":1}', ("h", b"x"), id=ID, key=b"k", partition=3, offset=9), attempt=2)
    assert (message.id, message.type, message.key, message.payload, message.raw) == (ID, "T", "k", {"a": 1}, b'{"a":1}')
    assert (message.topic, message.partition, message.offset, message.attempt) == ("orders", 3, 9, 2)
    assert message.headers == {"id": str(ID), "type": "T", "h": "x"}
    assert message.timestamp == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert not message.out_of_order


@pytest.mark.parametrize(
    ("given_", "field", "expected"),
    [
        (record(value=None), "payload", None),
        (record(key=None), "key", None),
        (record(key=b""), "key", ""),
        (record(key=b"\xffk"), "key", "\\xffk"),
        (record(None), "type", None),
        (record("a\0b"), "type", "a\0b"),
        (record(timestamp=None), "timestamp", None),
        (record(timestamp=10**18), "timestamp", None),
        (record(timestamp=-(10**18)), "timestamp", None),
        (record(timestamp=-1000), "timestamp", datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (record("T", b"\xff", ("content-type", b"application/octet-stream")), "payload", b"\xff"),
        (record("T", b"{", ("content-type", b"text/plain")), "payload", "{"),
        (record("T", b"{}", ("content-type", b"\xff")), "payload", {}),
        (record("T", b"{}", ("content-type", None)), "payload", {}),
        (record("T", b"1", ("content-type", b"text/plain"), ("content-type", b"application/json")), "payload", 1),
    ],
)
def test_odd_records_are_messages_all_the_same(given_: Record, field: str, expected: object) -> None:
    assert getattr(readable(given_), field) == expected


def test_headers_are_text_where_they_are_text_and_the_last_of_a_name_counts() -> None:
    headers = readable(record("T", b"{}", ("a", b"1"), ("b", b"\xff"), ("c", None), ("d", b"x\0"), ("a", b"2"))).headers
    assert {name: headers[name] for name in "abcd"} == {"a": "2", "b": b"\xff", "c": None, "d": "x\0"}


@pytest.mark.parametrize(
    ("given_", "reason", "told"),
    [
        (record(id=None), "no_id", "no header id"),
        (record(value=b"{"), "unreadable", "application/json"),
        (record(value=b""), "unreadable", "application/json"),
        (record("T", b"\xff", ("content-type", b"text/plain")), "unreadable", "text/plain"),
        (record(b"\xff"), "unreadable", "type"),
        (record(b"\xff", id=None), "unreadable", "type"),
    ],
)
def test_what_is_no_message_is_told_without_its_payload(given_: Record, reason: str, told: str) -> None:
    bad = read(given_)
    assert isinstance(bad, Unreadable)
    assert bad.reason == reason
    assert told in bad.error
    assert (bad.topic, bad.partition, bad.offset) == (given_.topic, given_.partition, given_.offset)
    assert read(given_) == bad


@pytest.mark.parametrize("written", [str(ID), str(ID).upper(), ID.hex, f"{{{ID}}}"])
def test_a_uuid_is_the_id_however_it_is_written(written: str) -> None:
    assert readable(record(id=written)).id == ID


@pytest.mark.parametrize("foreign", ["42", b"", "a\0b", "not-a-uuid", b"\xff"])
def test_a_foreign_id_is_one_message_of_its_topic_wherever_it_comes(foreign: Any) -> None:
    first, again = (readable(record(id=foreign, partition=n, offset=n)) for n in (1, 2))
    elsewhere = readable(record(id=foreign)._replace(topic="payments"))
    assert first.id == again.id != elsewhere.id
    assert first.id.version == 5


def test_without_an_id_only_a_redelivery_is_the_same_record() -> None:
    one = record(id=None, offset=5)
    others = [one._replace(offset=6), one._replace(partition=1), one._replace(topic="x"), one._replace(timestamp=1)]
    assert read(one).id == read(one).id
    assert len({read(other).id for other in [one, *others]}) == 5


def test_a_foreign_id_never_meets_a_uuid_of_another() -> None:
    assert readable(record(id="42")).id != uuid.uuid5(uuid.NAMESPACE_URL, "42")


raw = st.none() | st.binary()
records = st.builds(
    Record,
    st.just("orders"),
    st.integers(0, 9),
    st.integers(0),
    st.none() | st.integers(-(2**63), 2**63 - 1),
    raw,
    raw,
    st.lists(st.tuples(st.sampled_from(["id", "type", "content-type", "x"]) | st.text(), raw)),
)


@given(records)
def test_every_record_is_a_message_or_told_why_not(given_: Record) -> None:
    assert isinstance(read(given_), Received | Unreadable)
