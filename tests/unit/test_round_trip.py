"""What is written is what is read: a message through the row, the record, and back."""

from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from txbox.consumer import Received
from txbox.consumer.received import Record, read
from txbox.outbox import Message
from txbox.outbox.envelope import record_headers
from txbox.outbox.message import Row

characters = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
text = st.text(characters, min_size=1)
payloads = st.recursive(
    st.booleans() | st.text() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
reserved = {"id", "type", "reply-to", "content-type", "traceparent", "tracestate"}
headers = st.dictionaries(
    text.filter(lambda name: name not in reserved), st.text(st.characters(exclude_characters="\0")) | st.binary()
)


def received(message: Message) -> Received:
    """What a handler gets."""
    row = Row.of(message, 900_000)
    sent: list[tuple[str, bytes | None]] = [
        (name, value.encode() if isinstance(value, str) else value)
        for name, value in record_headers(str(row.id), row.type, row.headers)
    ]
    key = None if row.aggregateid is None else row.aggregateid.encode()
    found = read(Record("orders", 0, 0, 0, key, row.payload, sent))
    assert isinstance(found, Received)
    return found


@given(st.uuids(), text, payloads | st.none(), text | st.none() | st.uuids(), headers)
def test_a_message_comes_out_as_it_went_in(id_: UUID, type_: str, payload: Any, key: Any, own: dict[str, Any]) -> None:
    got = received(Message(type_, payload, topic="orders", id=id_, key=key, headers=own))
    assert (got.id, got.type, got.payload) == (id_, type_, payload)
    assert got.key == (None if key is None else str(key))
    assert {name: _bytes(got.headers[name]) for name in own} == {name: _bytes(value) for name, value in own.items()}


@given(st.binary())
def test_bytes_come_out_as_they_went_in(payload: bytes) -> None:
    assert received(Message("T", payload, topic="orders")).payload == payload


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_whatever_another_writer_put_into_headers_is_sent(stored: Any) -> None:
    import orjson

    try:
        text_ = orjson.dumps(stored).decode()
    except TypeError:
        text_ = "1e400"  # larger than orjson goes: as jsonb may be
    sent = record_headers("id", "T", text_)
    assert [name for name, _ in sent][:3] == ["id", "type", "content-type"]
    assert all(value is None or isinstance(value, str | bytes) for _, value in sent)


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
