"""Handlers that use Django's models: what only Django has."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import connection as django_connection
from django.db import transaction
from psycopg import Connection

from tests.integration.consumer.conftest import Settle
from tests.integration.consumer.orms import ORMS, orders, transactions_of
from tests.integration.consumer.test_failing import records
from tests.integration.frameworks import TABLE, DjangoOrder, django_database
from tests.unit.consumer.records import record
from txbox.consumer import Consumer, Received, Transactions
from txbox.consumer.guard import GuardedConnection
from txbox.consumer.outcomes import Committed, Stopped
from txbox.daemon import Database


@pytest.fixture(autouse=True)
def transactions(conn: Connection, database: Database, guarded: GuardedConnection) -> Iterator[Transactions]:
    conn.execute(TABLE)
    with django_database(database.url), transactions_of(ORMS["Django"], guarded) as transactions:
        yield transactions


def test_values_are_as_its_settings_say_and_ours_as_ever(
    consumer: Consumer, settle_batch: Settle, conn: Connection, guarded: GuardedConnection
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
    consumer: Consumer, settle_batch: Settle, conn: Connection, caplog: pytest.LogCaptureFixture, apart: bool
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


def test_no_hook_runs_of_a_batch_that_was_rolled_back(consumer: Consumer, settle_batch: Settle) -> None:
    ran: list[int] = []

    @consumer.handler("T")
    def handle(_: Any, message: Received) -> None:
        transaction.on_commit(lambda: ran.append(message.offset))
        if message.offset == 1:
            raise psycopg.errors.SerializationFailure

    outcome = settle_batch(*records("ab"))
    assert isinstance(outcome, Stopped)
    assert isinstance(settle_batch(*records("a")), Committed)
    assert ran == [0]


def test_it_has_its_own_connection_back_in_the_end(
    transactions: Transactions, guarded: GuardedConnection, conn: Connection
) -> None:
    assert django_connection.connection is guarded
    transactions.close()
    assert django_connection.connection is not guarded
    DjangoOrder.objects.create(id=1)
    assert orders(conn) == [1]
