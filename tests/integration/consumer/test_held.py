"""Records that cannot be read: put aside with all their bytes, and out of the way of the others."""

import base64
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from psycopg import Connection
from psycopg.rows import dict_row

from tests.integration.consumer.conftest import Effects, Settle
from tests.unit.consumer.records import record
from txbox.consumer import Consumer
from txbox.consumer.outcomes import Committed
from txbox.consumer.received import Record


def dead(conn: Connection[Any]) -> list[dict[str, Any]]:
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute("SELECT * FROM txbox.held_messages ORDER BY n").fetchall()


BAD: dict[str, Record] = {
    "no id": record(id=None),
    "payload": record(value=b"{"),
    "payload no text": record("T", b"\xff", ("content-type", b"text/plain")),
    "type no text": record(b"\xff\xfe"),
    "type with NUL, bad payload": record("T\0", b"{"),
    "NUL in the content type": record("T", b"\xff", ("content-type", b"text/\0plain")),
    "NUL in another JSON content type": record("T", b"{", ("content-type", b"\0+json")),
    "time beyond the calendar": record(value=b"{", timestamp=10**18),
    "time before the calendar": record(value=b"{", timestamp=-(10**18)),
    "no time": record(value=b"{", timestamp=None),
    "id no text": record(value=b"{", id=b"\xff\0"),
    "key no text": record(value=b"{", key=b"\xff\0"),
    "empty header name": record("T", b"{", ("", b"x")),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_what_cannot_be_read_is_dead_and_the_others_go_on(
    consumer: Consumer, settle_batch: Settle, effects: Effects, conn: Connection[Any], bad: Record
) -> None:
    consumer.handler()(effects.add)
    outcome = settle_batch(record(), bad, record())
    assert isinstance(outcome, Committed)
    assert (len(outcome.handled), len(outcome.unreadable)) == (2, 1)
    [row] = dead(conn)
    assert (row["state"], row["blocks"], row["attempts"]) == ("dead", False, 0)
    assert (row["payload"], row["key"], row["kafka_offset"]) == (bad.value, bad.key, bad.offset)


def test_all_bytes_of_the_headers_are_kept_in_order_and_with_repeats(
    consumer: Consumer, settle_batch: Settle, conn: Connection[Any]
) -> None:
    consumer.handler()(lambda *_: None)
    settle_batch(record("T", b"{", ("a", None), ("b", b"\0\xff"), ("a", b""), ("b", b"2"), id="42"))
    [row] = dead(conn)
    kept = [(name, value if value is None else base64.b64decode(value)) for name, value in row["headers"]]
    assert kept == [("id", b"42"), ("type", b"T"), ("a", None), ("b", b"\0\xff"), ("a", b""), ("b", b"2")]
    assert row["record_timestamp"] == datetime.fromtimestamp(1_700_000_000, UTC)
    assert (row["type"], row["reason"]) == ("T", "unreadable")


def test_a_redelivery_makes_no_second_row(consumer: Consumer, settle_batch: Settle, conn: Connection[Any]) -> None:
    consumer.handler()(lambda *_: None)
    for bad in (record(value=b"{"), record(id=None)):
        settle_batch(bad)
        outcome = settle_batch(bad)
        assert isinstance(outcome, Committed)
        assert not outcome.unreadable
    assert len(dead(conn)) == 2


def test_copies_in_one_batch_make_one_row(consumer: Consumer, settle_batch: Settle, conn: Connection[Any]) -> None:
    consumer.handler()(lambda *_: None)
    id_ = uuid4()
    outcome = settle_batch(*(record(value=b"{", id=id_) for _ in range(3)))
    assert isinstance(outcome, Committed)
    assert len(dead(conn)) == 1


def test_an_id_is_handled_or_dead_but_never_both(
    consumer: Consumer, settle_batch: Settle, effects: Effects, conn: Connection[Any]
) -> None:
    consumer.handler()(effects.add)
    id_ = uuid4()
    settle_batch(record(value=b"{}", id=id_), record(value=b"{", id=id_))
    assert effects.count() + len(dead(conn)) == 1


def test_a_record_nobody_has_a_handler_for_is_not_put_aside(
    consumer: Consumer, settle_batch: Settle, conn: Connection[Any]
) -> None:
    consumer.handler("Other")(lambda *_: None)
    outcome = settle_batch(record(value=b"{"), record(id=None))
    assert isinstance(outcome, Committed)
    assert (len(outcome.skipped), len(dead(conn))) == (2, 0)


def test_a_message_far_beyond_the_calendar_is_handled(consumer: Consumer, settle_batch: Settle) -> None:
    got: list[datetime | None] = []
    consumer.handler()(lambda _, message: got.append(message.timestamp))
    settle_batch(record(timestamp=10**18))
    assert got == [None]
