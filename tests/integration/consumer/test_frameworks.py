"""Handlers that get a Session, or use Django's models, in the transaction in which their message's id is taken."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from psycopg import Connection

from tests.integration.consumer.conftest import Settle
from tests.integration.consumer.orms import DJANGO_ADDS, ORMS, Handle, Orm, orders, transactions_of
from tests.integration.consumer.test_failing import records, settled
from tests.integration.frameworks import TABLE, django_database
from tests.unit.consumer.records import record
from txbox.consumer import Consumer, Received, TransactionLeft, Transactions
from txbox.consumer.guard import GuardedConnection
from txbox.consumer.outcomes import Committed, Stopped
from txbox.consumer.verdicts import Verdict
from txbox.daemon import Database
from txbox.outbox import Message, Outbox


@pytest.fixture(params=ORMS)
def orm(request: pytest.FixtureRequest, conn: Connection, database: Database) -> Iterator[Orm]:
    conn.execute(TABLE)
    with django_database(database.url):
        yield ORMS[request.param]


@pytest.fixture
def transactions(orm: Orm, guarded: GuardedConnection) -> Iterator[Transactions]:
    with transactions_of(orm, guarded) as transactions:
        yield transactions


@pytest.fixture
def handlers(consumer: Consumer, orm: Orm) -> None:
    """Handlers that do as their message's type says."""
    consumer.handler("T")(lambda given, m: orm.add(given, m.offset))
    consumer.handler("Bad")(lambda given, m: orm.add(given, m.offset, note="bad"))


def held(conn: Connection[Any]) -> list[int]:
    return [n for (n,) in conn.execute("SELECT kafka_offset FROM txbox.held_messages ORDER BY n")]


@pytest.mark.usefixtures("handlers")
def test_what_is_left_unsent_is_committed_together_with_the_id(settle_batch: Settle, conn: Connection) -> None:
    given = records("aab")
    for duplicates in (0, 3):
        outcome = settle_batch(*given)
        assert isinstance(outcome, Committed)
        assert len(outcome.duplicates) == duplicates
    assert orders(conn) == [0, 1, 2]


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("text", ["aBc", "Bac", "acB", "BACd"])
def test_an_error_that_comes_when_it_is_sent_is_its_own_messages(
    settle_batch: Settle, conn: Connection, text: str
) -> None:
    outcome = settled(settle_batch, records(text))
    bad = [n for n, letter in enumerate(text) if letter.isupper()]
    assert [failed.message.offset for failed in outcome.failed] == bad == held(conn)
    assert {type(failed.error).__name__ for failed in outcome.failed} == {"IntegrityError"}
    assert orders(conn) == [n for n, letter in enumerate(text) if letter.islower()]


def test_a_deferred_constraint_speaks_of_its_own_message(
    consumer: Consumer, settle_batch: Settle, orm: Orm, conn: Connection
) -> None:
    consumer.handler("T")(lambda given, m: orm.add(given, m.offset, total=m.offset % 2))
    outcome = settle_batch(*records("abcd"), apart=True)
    assert isinstance(outcome, Committed)
    assert [failed.message.offset for failed in outcome.failed] == [2, 3]
    assert orders(conn) == [0, 1]


@pytest.mark.parametrize("apart", [False, True])
def test_a_part_may_fail(consumer: Consumer, settle_batch: Settle, orm: Orm, conn: Connection, apart: bool) -> None:
    @consumer.handler("T")
    def handle(given: Any, message: Received) -> None:
        orm.add(given, message.offset)
        with suppress(Exception), orm.block(given):
            orm.add(given, 100 + message.offset, note="bad" if message.offset else "")
        with orm.block(given):
            orm.add(given, 200 + message.offset)

    assert isinstance(settle_batch(*records("ab"), apart=apart), Committed)
    assert orders(conn) == [0, 1, 100, 200, 201]


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("apart", [False, True])
def test_nobody_ends_the_transaction(
    consumer: Consumer, settle_batch: Settle, orm: Orm, conn: Connection, apart: bool
) -> None:
    for n, (why, ending) in enumerate(orm.endings().items()):

        @consumer.handler(f"End{n}")
        def end(given: Any, message: Received, ending: Handle = ending) -> None:
            orm.add(given, 1000 + message.offset)
            orm.execute(given, "SELECT 1")
            ending(given, message)

        outcome = settled(settle_batch, [record(offset=n), record(f"End{n}", key=b"e%d" % n, offset=100 + n)])
        assert [failed.message.offset for failed in outcome.failed] == [100 + n]
        with pytest.raises(type(outcome.failed[0].error), match=why):
            raise outcome.failed[0].error
    assert orders(conn) == list(range(len(orm.endings())))


@pytest.mark.usefixtures("handlers")
def test_an_error_that_was_passed_over_is_its_own_messages_failure(
    consumer: Consumer, settle_batch: Settle, orm: Orm, conn: Connection
) -> None:
    @consumer.handler("What")
    def swallow(given: Any, message: Received) -> None:
        with suppress(Exception):
            orm.execute(given, "SELECT 1/0")

    outcome = settled(settle_batch, [record(offset=0), record("What", key=b"w", offset=1), record(offset=2)])
    assert [(failed.message.offset, type(failed.error).__name__) for failed in outcome.failed] == [
        (1, "TransactionFailed")
    ]
    assert orders(conn) == [0, 2]


@pytest.mark.usefixtures("handlers")
def test_a_block_that_was_left_open_is_its_own_messages_failure(
    consumer: Consumer, settle_batch: Settle, orm: Orm, conn: Connection
) -> None:
    left = []

    @consumer.handler("Left")
    def leave(given: Any, message: Received) -> None:
        orm.add(given, 77)
        left.append(orm.block(given))
        left[-1].__enter__()

    outcome = settled(settle_batch, [record(offset=0), record("Left", key=b"w", offset=1), record(offset=2)])
    assert [(failed.message.offset, type(failed.error).__name__) for failed in outcome.failed] == [(1, "BlockLeft")]
    assert orders(conn) == [0, 2]


def test_what_is_nobodys_fault_is_known_by_the_drivers_error(
    consumer: Consumer, settle_batch: Settle, orm: Orm, conn: Connection
) -> None:
    consumer.handler("T")(lambda given, _: orm.execute(given, "LOCK orders NOWAIT"))
    with conn.transaction():
        conn.execute("LOCK orders")
        outcome = settle_batch(record())
    assert isinstance(outcome, Stopped)
    assert outcome.verdict is Verdict.AGAIN
    consumer.handler("Lost")(lambda given, _: orm.execute(given, "SELECT pg_terminate_backend(pg_backend_pid())"))
    outcome = settle_batch(record("Lost"))
    assert isinstance(outcome, Stopped)
    assert (outcome.verdict, outcome.disconnected) == (Verdict.OUTAGE, True)


def test_a_transaction_that_was_left_all_the_same_stops_the_process(
    consumer: Consumer, settle_batch: Settle, orm: Orm, guarded: GuardedConnection
) -> None:
    @consumer.handler("T")
    def end(given: Any, message: Received) -> None:
        orm.add(given, 1)
        guarded.pgconn.exec_(b"COMMIT")

    with pytest.raises(TransactionLeft):
        settle_batch(record())


def test_a_message_is_sent_from_a_handler(consumer: Consumer, settle_batch: Settle, orm: Orm, conn: Connection) -> None:
    @consumer.handler("T")
    def handle(given: Any, message: Received) -> None:
        orm.add(given, message.offset)
        Outbox(lock_keys=True).add(given, Message("Next", {}, topic="next", key=1))

    assert isinstance(settle_batch(*records("ab")), Committed)
    assert conn.execute("SELECT count(*) FROM txbox.outbox").fetchone() == (2,)


def test_errors_of_frameworks_are_told_without_the_messages_contents(
    consumer: Consumer, settle_batch: Settle, handlers: None, conn: Connection
) -> None:
    settled(settle_batch, records("B"))
    [(error,)] = conn.execute("SELECT error FROM txbox.held_messages").fetchall()
    assert error in ("IntegrityError", f"IntegrityError at {DJANGO_ADDS}")
