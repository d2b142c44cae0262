"""Handlers that get a Session, or use Django's models, in the transaction in which their message's id is taken."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from typing import Any

import pytest
from django.db import connection as django_connection
from django.db import connections, transaction
from psycopg import Connection
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session, sessionmaker

from tests.integration.consumer.conftest import Settle
from tests.integration.consumer.test_failing import records, settled
from tests.integration.frameworks import TABLE, DjangoOrder, Order, django_database
from tests.unit.consumer.records import record
from txbox.consumer import Consumer, Received, TransactionLeft
from txbox.consumer.batch import Batches
from txbox.consumer.consumer import plan
from txbox.consumer.django import Atomic
from txbox.consumer.guard import GuardedConnection
from txbox.consumer.held import Held
from txbox.consumer.inbox import Inbox
from txbox.consumer.outcomes import Committed, Outcome, Stopped
from txbox.consumer.received import Record
from txbox.consumer.sqlalchemy import Sessions
from txbox.consumer.transactions import Transactions
from txbox.consumer.verdicts import Verdict
from txbox.daemon import Database
from txbox.outbox import Message, Outbox

Handle = Callable[[Any, Received], object]


class Orm(ABC):
    """What a handler does, in a framework's words."""

    transactions: Callable[[GuardedConnection], Transactions]

    @abstractmethod
    def add(self, given: Any, id_: int, note: str = "", total: int | None = None) -> None: ...
    @abstractmethod
    def execute(self, given: Any, statement: str) -> None: ...
    @abstractmethod
    def block(self, given: Any) -> AbstractContextManager[Any]: ...
    @abstractmethod
    def endings(self) -> dict[str, Handle]: ...


class SqlAlchemy(Orm):
    transactions = Sessions

    def add(self, given: Session, id_: int, note: str = "", total: int | None = None) -> None:
        given.add(Order(id=id_, note=note, total=total))

    def execute(self, given: Session, statement: str) -> None:
        given.execute(text(statement))

    def block(self, given: Session) -> AbstractContextManager[Any]:
        return given.begin_nested()

    def endings(self) -> dict[str, Handle]:
        return {
            r"session\.commit\(\)": lambda session, _: session.commit(),
            r"session\.rollback\(\)": lambda session, _: session.rollback(),
            "COMMIT": lambda session, _: session.execute(text("COMMIT")),
            "ROLLBACK": lambda session, _: session.connection().exec_driver_sql("/* so */ rollback"),
            "conn.close": lambda session, _: session.connection().connection.driver_connection.close(),
        }


class Django(Orm):
    transactions = Atomic

    def add(self, given: Any, id_: int, note: str = "", total: int | None = None) -> None:
        DjangoOrder.objects.create(id=id_, note=note, total=total, details={"a": ["ü"]})

    def execute(self, given: Any, statement: str) -> None:
        with given.cursor() as cursor:
            cursor.execute(statement)

    def block(self, given: Any) -> AbstractContextManager[Any]:
        return transaction.atomic()

    def endings(self) -> dict[str, Handle]:
        return {
            "'atomic' block is active": lambda *_: transaction.commit(),
            "when an 'atomic' block": lambda connection, _: connection.rollback(),
            "COMMIT": lambda connection, _: self.execute(connection, "COMMIT"),
            "ROLLBACK": lambda *_: self.execute(django_connection, "/* so */ rollback"),
            r"connection\.close\(\)": lambda *_: django_connection.close(),
            "durable": lambda *_: transaction.atomic(durable=True).__enter__(),
        }


ORMS = {"SQLAlchemy": SqlAlchemy(), "Django": Django()}


@pytest.fixture(params=ORMS)
def orm(request: pytest.FixtureRequest, conn: Connection, database: Database) -> Iterator[Orm]:
    conn.execute(TABLE)
    with django_database(database.url):
        yield ORMS[request.param]


@pytest.fixture
def settle_batch(guarded: GuardedConnection, consumer: Consumer, orm: Orm) -> Iterator[Settle]:
    """Settle records as one batch, with the framework's transactions."""
    inbox = Inbox(guarded, "txbox", consumer.name)
    held = Held(guarded, "txbox", inbox.consumer_id)
    transactions = orm.transactions(guarded)
    batches = Batches(guarded, inbox, held, transactions=transactions)

    def batch(*given: Record, **how: Any) -> Outcome:
        return batches.settle(plan(consumer.handlers, given), **how)

    yield batch
    transactions.close()


@pytest.fixture
def handlers(consumer: Consumer, orm: Orm) -> None:
    """Handlers that do as their message's type says."""
    consumer.handler("T")(lambda given, m: orm.add(given, m.offset))
    consumer.handler("Bad")(lambda given, m: orm.add(given, m.offset, note="bad"))


def orders(conn: Connection[Any]) -> list[int]:
    return [id_ for (id_,) in conn.execute("SELECT id FROM orders ORDER BY id")]


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


@pytest.mark.parametrize("orm", ["Django"], indirect=True)
class TestDjango:
    """What only Django has."""

    def test_values_are_as_its_settings_say_and_ours_as_ever(
        self, consumer: Consumer, settle_batch: Settle, conn: Connection, guarded: GuardedConnection
    ) -> None:
        seen = []

        @consumer.handler("T")
        def handle(connection: Any, message: Received) -> None:
            DjangoOrder.objects.create(id=1, details={"a": ["ü"]})
            [order] = DjangoOrder.objects.iterator()
            seen.extend([order.details, order.placed_at.utcoffset().total_seconds()])
            with connection.cursor() as cursor:
                cursor.execute("SHOW timezone")
                seen.extend(cursor.fetchone())
            assert not connection.get_autocommit()

        assert isinstance(settle_batch(record(offset=1)), Committed)
        assert seen == [{"a": ["ü"]}, 0.0, "UTC"]
        assert guarded.execute("""SELECT '{"a": 1}'::jsonb""").fetchone() == ({"a": 1},)

    @pytest.mark.parametrize("apart", [False, True])
    def test_hooks_run_after_the_commit_of_what_they_are_about(
        self, consumer: Consumer, settle_batch: Settle, conn: Connection, caplog: pytest.LogCaptureFixture, apart: bool
    ) -> None:
        ran: list[int] = []

        def hook(n: int) -> None:
            assert {0, 1, 2, 3, 4} & set(orders(conn)) == {0, 2, 4}
            with transaction.atomic():
                DjangoOrder.objects.create(id=100 + n)
            ran.append(n)

        @consumer.handler()
        def handle(_: Any, message: Received) -> None:
            DjangoOrder.objects.create(id=message.offset, total=7 if message.type == "Late" else None)
            transaction.on_commit(lambda: hook(message.offset))
            if message.type == "Bad":
                raise ValueError
            if message.offset == 4:
                transaction.on_commit(lambda: 1 / 0)

        given = [*records("aBc"), record("Late", key=b"l", offset=3), record(key=b"e", offset=4)]
        conn.execute("INSERT INTO orders (id, total) VALUES (77, 7)")
        outcome = settle_batch(*given, apart=apart)
        assert isinstance(outcome, Committed)
        assert [failed.message.offset for failed in outcome.failed] == [1, 3]
        assert ran == [0, 2, 4]
        assert orders(conn) == [0, 2, 4, 77, 100, 102, 104]
        assert "on_commit failed" in caplog.text

    def test_it_has_its_own_connection_back_in_the_end(
        self, orm: Orm, guarded: GuardedConnection, conn: Connection
    ) -> None:
        before = connections["default"]
        transactions = Atomic(guarded)
        assert django_connection.connection is guarded
        transactions.close()
        assert connections["default"] is before
        DjangoOrder.objects.create(id=1)
        assert orders(conn) == [1]


@pytest.mark.parametrize("orm", ["SQLAlchemy"], indirect=True)
class TestSqlAlchemy:
    """What only SQLAlchemy has."""

    @pytest.mark.parametrize("apart", [False, True])
    def test_a_rollback_after_an_error_is_told_if_nothing_else_is(
        self, consumer: Consumer, settle_batch: Settle, conn: Connection, apart: bool
    ) -> None:
        @consumer.handler("Caught")
        def catch(session: Session, message: Received) -> None:
            session.add(Order(id=1, note="bad"))
            try:
                session.flush()
            except Exception:
                session.rollback()
                if message.offset:
                    raise
            session.add(Order(id=2))

        for offset, error in ((0, "TransactionFailed"), (1, "IntegrityError")):
            outcome = settled(settle_batch, [record("Caught", key=b"c%d" % offset, offset=offset)])
            assert [type(failed.error).__name__ for failed in outcome.failed] == [error]
        assert orders(conn) == []

    def test_a_rollback_that_would_be_lost_in_silence_is_told(
        self, consumer: Consumer, settle_batch: Settle, conn: Connection
    ) -> None:
        @consumer.handler("Caught")
        def catch(session: Session, message: Received) -> None:
            session.execute(text("INSERT INTO orders VALUES (1)"))
            try:
                raise ValueError
            except ValueError:
                session.rollback()

        outcome = settled(settle_batch, [record("Caught")])
        with pytest.raises(Exception, match=r"session\.rollback\(\).*begin_nested"):
            raise outcome.failed[0].error
        assert orders(conn) == []

    def test_objects_of_one_message_are_not_those_of_the_next(
        self, consumer: Consumer, settle_batch: Settle, conn: Connection
    ) -> None:
        conn.execute("INSERT INTO orders (id, note) VALUES (1, 'old')")
        seen = []

        @consumer.handler()
        def handle(session: Session, message: Received) -> None:
            order = session.get(Order, 1)
            assert order is not None
            seen.append(order.note)
            order.note = f"new {message.offset}"
            session.flush()
            if message.type == "Bad":
                raise ValueError

        settle_batch(*records("aBc"), apart=True)
        assert seen == ["old", "new 0", "new 0"]
        assert conn.execute("SELECT note FROM orders").fetchall() == [("new 2",)]

    def test_a_sessionmakers_own_engine_is_put_aside(self, orm: Orm, guarded: GuardedConnection) -> None:
        elsewhere = create_engine("sqlite://")
        make = sessionmaker(elsewhere, binds={Order: elsewhere}, expire_on_commit=False)
        session = Sessions(guarded, make=make).begin()
        assert session.get_bind(Order).dialect.name == "postgresql"
        assert not session.expire_on_commit


def test_errors_of_frameworks_are_told_without_the_messages_contents(
    consumer: Consumer, settle_batch: Settle, handlers: None, conn: Connection
) -> None:
    settled(settle_batch, records("B"))
    [(error,)] = conn.execute("SELECT error FROM txbox.held_messages").fetchall()
    assert error.startswith("IntegrityError at ")
    assert "test_frameworks.py" in error or "frameworks" not in error
    assert "bad" not in error
