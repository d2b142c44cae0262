"""One batch on a real PostgreSQL: effects once, all of it or nothing."""

from contextlib import suppress
from uuid import uuid4

import psycopg
import pytest
from psycopg import Connection, sql

from tests.integration.consumer.conftest import Effects, Settle
from tests.unit.consumer.records import record
from txbox.consumer import Consumer, Received
from txbox.consumer.guard import GuardedConnection
from txbox.consumer.inbox import Inbox
from txbox.consumer.outcomes import Committed, Stopped
from txbox.consumer.received import read
from txbox.consumer.verdicts import Verdict


def count(conn: Connection, table: str) -> int:
    row = conn.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier("txbox", table))).fetchone()
    assert row is not None
    return int(row[0])


def test_a_copy_in_the_same_batch_has_no_effect(consumer: Consumer, settle_batch: Settle, effects: Effects) -> None:
    consumer.handler("T")(effects.add)
    first, second = uuid4(), uuid4()
    outcome = settle_batch(*(record(id=id_) for id_ in (first, second, first, first)))
    assert isinstance(outcome, Committed)
    assert effects.ids() == [str(first), str(second)]
    assert [message.id for message in outcome.duplicates] == [first, first]


def test_a_copy_in_a_later_batch_has_no_effect(consumer: Consumer, settle_batch: Settle, effects: Effects) -> None:
    consumer.handler("T")(effects.add)
    again, new = record(), record()
    settle_batch(again)
    outcome = settle_batch(again, new)
    assert isinstance(outcome, Committed)
    assert [len(part) for part in (outcome.handled, outcome.duplicates)] == [1, 1]
    assert effects.count() == 2


def test_each_consumer_has_an_inbox_of_its_own(
    consumer: Consumer, settle_batch: Settle, effects: Effects, guarded: GuardedConnection
) -> None:
    consumer.handler("T")(effects.add)
    seen = record()
    settle_batch(seen)
    shipping, billing = Inbox(guarded, "txbox", "shipping"), Inbox(guarded, "txbox", consumer.name)
    message = read(seen)
    with guarded.transaction():
        assert billing.claim([message]) == set()
        assert shipping.claim([message]) == {message.id}


def test_handlers_are_chosen_by_type_and_unknown_types_leave_no_trace(
    consumer: Consumer, settle_batch: Settle, conn: Connection
) -> None:
    ran: list[tuple[str, str | None]] = []
    consumer.handler("A")(lambda _, message: ran.append(("A", message.type)))
    consumer.handler("B")(lambda _, message: ran.append(("B", message.type)))
    outcome = settle_batch(record("A"), record("C"), record("B"), record(None), record("A"))
    assert isinstance(outcome, Committed)
    assert ran == [("A", "A"), ("B", "B"), ("A", "A")]
    assert len(outcome.skipped) == 2
    assert count(conn, "processed_messages") == 3


def test_a_handler_for_every_other_type_gets_those_without_one(consumer: Consumer, settle_batch: Settle) -> None:
    ran: list[str | None] = []
    consumer.handler("A")(lambda *_: None)
    consumer.handler()(lambda _, message: ran.append(message.type))
    settle_batch(record("A"), record("B"), record(None))
    assert ran == ["B", None]


def test_an_error_undoes_all_when_there_is_but_one(
    consumer: Consumer, settle_batch: Settle, effects: Effects, conn: Connection
) -> None:
    bad = record()

    @consumer.handler("T")
    def handle(conn: Connection, message: Received) -> None:
        effects.add(conn, message)
        raise ValueError("no")

    outcome = settle_batch(bad)
    assert isinstance(outcome, Stopped)
    assert outcome.at is not None
    assert (outcome.verdict, outcome.at.offset) == (Verdict.MESSAGE, bad.offset)
    assert (effects.count(), count(conn, "processed_messages")) == (0, 0)


def test_a_swallowed_sql_error_is_blamed_on_its_own_message(
    consumer: Consumer, settle_batch: Settle, effects: Effects
) -> None:
    bad = record("Bad")
    consumer.handler("T")(effects.add)

    @consumer.handler("Bad")
    def swallow(conn: Connection, _: Received) -> None:
        with suppress(psycopg.Error):
            conn.execute("SELECT 1/0")

    outcome = settle_batch(record(), bad, record())
    assert isinstance(outcome, Committed)
    assert [failed.message.offset for failed in outcome.failed] == [bad.offset]
    assert effects.count() == 2


def test_a_deferred_constraint_fails_the_batch_and_leaves_nothing(
    consumer: Consumer, settle_batch: Settle, conn: Connection
) -> None:
    conn.execute("CREATE TABLE charge (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    consumer.handler("T")(lambda conn, _: conn.execute("INSERT INTO charge VALUES (1)") and None)
    outcome = settle_batch(record(), record())
    assert isinstance(outcome, Stopped)
    assert isinstance(outcome.error, psycopg.errors.UniqueViolation)
    assert count(conn, "processed_messages") == 0


def test_a_session_that_the_server_ends_is_not_the_messages_fault(
    consumer: Consumer, settle_batch: Settle, conn: Connection
) -> None:
    @consumer.handler("T")
    def cut(handlers: Connection, _: Received) -> None:
        conn.execute("SELECT pg_terminate_backend(%s)", (handlers.info.backend_pid,))
        handlers.execute("SELECT 1")

    outcome = settle_batch(record())
    assert isinstance(outcome, Stopped)
    assert (outcome.disconnected, outcome.verdict) == (True, Verdict.OUTAGE)
    assert count(conn, "processed_messages") == 0


@pytest.mark.parametrize("messages", [1, 3])
def test_rolling_back_by_psycopgs_own_exception_is_a_failure(
    consumer: Consumer, settle_batch: Settle, effects: Effects, conn: Connection, messages: int
) -> None:
    @consumer.handler("T")
    def handle(conn: Connection, message: Received) -> None:
        effects.add(conn, message)
        raise psycopg.Rollback

    outcome = settle_batch(*(record() for _ in range(messages)))
    match outcome:
        case Stopped():
            assert (messages, outcome.verdict) == (1, Verdict.MESSAGE)
        case Committed():
            assert (messages, len(outcome.failed)) == (3, 3)
    assert effects.count() == 0


def test_a_tombstone_has_no_payload(consumer: Consumer, settle_batch: Settle) -> None:
    got: list[object] = []
    consumer.handler("T")(lambda _, message: got.append((message.payload, message.raw)))
    settle_batch(record(value=None))
    assert got == [(None, None)]


@pytest.mark.parametrize("name", ["billing", "b" * 200, "Ünïcode name", "it's"])
def test_consumers_of_any_name_have_a_number(guarded: GuardedConnection, name: str) -> None:
    assert Inbox(guarded, "txbox", name).consumer_id == Inbox(guarded, "txbox", name).consumer_id
