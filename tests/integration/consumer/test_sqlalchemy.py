"""Handlers that get a Session: what only SQLAlchemy has."""

from collections.abc import Iterator

import pytest
from psycopg import Connection
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session, sessionmaker

from tests.integration.consumer.conftest import Settle
from tests.integration.consumer.orms import ORMS, orders, transactions_of
from tests.integration.consumer.test_failing import records, settled
from tests.integration.frameworks import TABLE, Order, django_database
from tests.unit.consumer.records import record
from txbox.consumer import Consumer, Received, Transactions
from txbox.consumer.guard import GuardedConnection
from txbox.consumer.sqlalchemy import Sessions
from txbox.daemon import Database


@pytest.fixture(autouse=True)
def transactions(conn: Connection, database: Database, guarded: GuardedConnection) -> Iterator[Transactions]:
    conn.execute(TABLE)
    with django_database(database.url), transactions_of(ORMS["SQLAlchemy"], guarded) as transactions:
        yield transactions


@pytest.mark.parametrize("apart", [False, True])
def test_a_rollback_after_an_error_is_told_if_nothing_else_is(
    consumer: Consumer, settle_batch: Settle, conn: Connection, apart: bool
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
    consumer: Consumer, settle_batch: Settle, conn: Connection
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
    consumer: Consumer, settle_batch: Settle, conn: Connection
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


def test_a_sessionmakers_own_engine_is_put_aside(guarded: GuardedConnection) -> None:
    elsewhere = create_engine("sqlite://")
    make = sessionmaker(elsewhere, binds={Order: elsewhere}, expire_on_commit=False)
    with Sessions(guarded, make=make).begin() as session:
        assert session.get_bind(Order).dialect.name == "postgresql"
        assert not session.expire_on_commit
