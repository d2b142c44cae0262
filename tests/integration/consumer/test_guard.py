"""What a handler's connection refuses, and what it lets through, on a real PostgreSQL."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg import Connection, sql
from psycopg.rows import dict_row

from tests.integration.consumer.conftest import Effects, Settle
from tests.unit.consumer.records import record
from txbox.consumer import Consumer, Received, TransactionControl, TransactionLeft
from txbox.consumer.guard import GuardedConnection
from txbox.consumer.outcomes import Committed, Stopped

Way = Callable[[Connection[Any]], object]


def set_autocommit(conn: Connection[Any]) -> None:
    conn.autocommit = True


def copy(conn: Connection[Any]) -> None:
    with conn.cursor().copy("COMMIT; COPY (SELECT 1) TO STDOUT"):
        pass


REFUSED: dict[str, Way] = {
    "conn.commit()": lambda conn: conn.commit(),
    "conn.rollback()": lambda conn: conn.rollback(),
    "conn.close()": lambda conn: conn.close(),
    "conn.autocommit": set_autocommit,
    "conn.set_autocommit()": lambda conn: conn.set_autocommit(True),
    "with conn": lambda conn: conn.__exit__(None, None, None),
    "conn.tpc_prepare()": lambda conn: conn.tpc_prepare(),
    "COMMIT": lambda conn: conn.execute("COMMIT"),
    "commit work and chain": lambda conn: conn.execute("  commit work and chain"),
    "END": lambda conn: conn.execute("END;"),
    "ABORT": lambda conn: conn.execute("abort"),
    "ROLLBACK": lambda conn: conn.execute("ROLLBACK"),
    "ROLLBACK AND CHAIN": lambda conn: conn.execute("ROLLBACK AND CHAIN"),
    "PREPARE TRANSACTION": lambda conn: conn.execute("PREPARE TRANSACTION 'x'"),
    "DISCARD": lambda conn: conn.execute("DISCARD ALL"),
    "bytes": lambda conn: conn.execute(b"COMMIT"),
    "behind a comment": lambda conn: conn.execute("-- x\n/* /* */ */ COMMIT"),
    "second of two": lambda conn: conn.execute("SELECT 'x;'; COMMIT"),
    "sql.SQL": lambda conn: conn.execute(sql.SQL("COMMIT")),
    "composed": lambda conn: conn.execute(sql.SQL("SELECT {}; {}").format(sql.Literal("';"), sql.SQL("COMMIT"))),
    "cursor": lambda conn: conn.cursor(row_factory=dict_row).execute("COMMIT"),
    "executemany": lambda conn: conn.cursor().executemany("COMMIT", [()]),
    "stream": lambda conn: list(conn.cursor().stream("COMMIT")),
    "copy": copy,
}


@pytest.mark.parametrize("way", REFUSED.values(), ids=REFUSED)
def test_a_handler_cannot_end_the_transaction(
    consumer: Consumer, settle_batch: Settle, effects: Effects, guarded: GuardedConnection, way: Way
) -> None:
    @consumer.handler("T")
    def handle(conn: Connection[Any], message: Received) -> None:
        effects.add(conn, message)
        way(conn)

    outcome = settle_batch(record())
    assert isinstance(outcome, Stopped)
    assert isinstance(outcome.error, TransactionControl)
    assert effects.count() == 0
    assert not guarded.closed


def savepoint_block(conn: Connection[Any]) -> None:
    with conn.transaction():
        conn.execute("SELECT 1")


def failed_block(conn: Connection[Any]) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero), conn.transaction():
        conn.execute("SELECT 1/0")


def rolled_back_block(conn: Connection[Any]) -> None:
    with conn.transaction(force_rollback=True):
        conn.execute("SELECT 1")


def copy_out(conn: Connection[Any]) -> None:
    with conn.cursor().copy("COPY (SELECT 1) TO STDOUT") as rows:
        assert list(rows)


def server_cursor(conn: Connection[Any]) -> None:
    with conn.cursor("c") as cursor:
        assert cursor.execute("SELECT 1").fetchall() == [(1,)]


ALLOWED: dict[str, Way] = {
    "ROLLBACK TO": lambda conn: conn.execute("SAVEPOINT s; ROLLBACK TO s; RELEASE s"),
    "ROLLBACK WORK TO SAVEPOINT": lambda conn: conn.execute("SAVEPOINT s; rollback work to savepoint s"),
    "a block": savepoint_block,
    "a block that failed": failed_block,
    "a block undone": rolled_back_block,
    "words in literals": lambda conn: conn.execute(
        'SELECT \'COMMIT; ROLLBACK\', $$; COMMIT$$, "end" FROM (SELECT 1) AS t("end")'
    ),
    "a CASE": lambda conn: conn.execute("SELECT CASE WHEN true THEN 1 END"),
    "DO": lambda conn: conn.execute("DO $$ BEGIN PERFORM 1; END $$"),
    "PREPARE a statement": lambda conn: conn.execute("PREPARE p AS SELECT 1; EXECUTE p"),
    "COPY": copy_out,
    "parameters": lambda conn: conn.execute("SELECT %s", ("COMMIT",)),
    "executemany": lambda conn: conn.cursor().executemany("SELECT %s", [(1,), (2,)]),
    "server cursor": server_cursor,
}


@pytest.mark.parametrize("way", ALLOWED.values(), ids=ALLOWED)
def test_a_handler_may_do_all_that_leaves_the_transaction_alone(
    consumer: Consumer, settle_batch: Settle, effects: Effects, way: Way
) -> None:
    @consumer.handler("T")
    def handle(conn: Connection[Any], message: Received) -> None:
        effects.add(conn, message)
        way(conn)

    assert isinstance(settle_batch(record()), Committed)
    assert effects.count() == 1


def past_the_guard(conn: Connection[Any], statement: bytes) -> None:
    conn.pgconn.exec_(statement)


def by_another_cursor(conn: Connection[Any], statement: bytes) -> None:
    psycopg.ClientCursor(conn).execute(statement)


def and_raise(conn: Connection[Any], statement: bytes) -> None:
    conn.pgconn.exec_(statement)
    raise ValueError("and an error of its own")


@pytest.mark.parametrize(
    "statement", [b"COMMIT", b"ROLLBACK", b"COMMIT AND CHAIN", b"COMMIT; BEGIN", b"ROLLBACK; BEGIN"]
)
@pytest.mark.parametrize("how", [past_the_guard, by_another_cursor, and_raise])
def test_ending_it_past_the_guard_is_found_and_the_handlers_are_named(
    consumer: Consumer, settle_batch: Settle, how: Callable[[Connection[Any], bytes], None], statement: bytes
) -> None:
    @consumer.handler("T")
    def innocent(*_: object) -> None: ...

    @consumer.handler("Bad")
    def culprit(conn: Connection[Any], _: Received) -> None:
        how(conn, statement)

    with pytest.raises(TransactionLeft, match="culprit") as caught:
        settle_batch(record("T"), record("Bad"))
    assert [name.rpartition(".")[2] for name in caught.value.ran] == ["innocent", "culprit"]


def test_a_savepoint_that_is_not_there_is_the_handlers_own_error(consumer: Consumer, settle_batch: Settle) -> None:
    consumer.handler("T")(lambda conn, _: conn.execute("ROLLBACK TO nowhere") and None)
    outcome = settle_batch(record())
    assert isinstance(outcome, Stopped)
    assert isinstance(outcome.error, psycopg.errors.InvalidSavepointSpecification)


def test_between_batches_nothing_is_refused(settle_batch: Settle, guarded: GuardedConnection) -> None:
    settle_batch()
    guarded.commit()
    guarded.rollback()
