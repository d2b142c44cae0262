"""What the cursor relies on, asked of the server under test: who has the sequence's lock, since when and until when."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from tests.waiting import eventually
from txbox.relay.cursor import Holder, Snapshot
from txbox.relay.poll import Poll

Connection = psycopg.Connection[Any]
Holders = Callable[..., set[Holder]]

DRAW = "SELECT nextval(pg_get_serial_sequence('txbox.outbox', 'seq'))"
INSERT = "INSERT INTO txbox.outbox (topic, type) VALUES ('t', 'Happened')"
MY_VXID = "SELECT virtualtransaction FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'virtualxid'"
BLOCKED = "SELECT count(*) FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted"
PARTITIONED = """
CREATE TABLE parted (seq bigint GENERATED ALWAYS AS IDENTITY) PARTITION BY RANGE (seq);
CREATE TABLE part PARTITION OF parted DEFAULT;
"""


@pytest.fixture
def waiter(txbox_database: str) -> Iterator[Connection]:
    with psycopg.connect(txbox_database, autocommit=True) as conn:
        conn.execute("BEGIN")
        yield conn


@pytest.fixture
def holders(conn: Connection) -> Holders:
    """What the relay's own statement shows."""
    statement = Poll.statements("txbox")["holders"]

    def read(table: str = "txbox.outbox") -> set[Holder]:
        found = conn.execute(statement, {"table": table})
        return {Holder(vxid, xid) for vxid, xid in found}

    return read


def value(conn: Connection, query: str) -> Any:
    [found] = conn.execute(query).fetchone() or (None,)
    return found


def holder_of(conn: Connection) -> Holder:
    """What a transaction knows of itself. nextval gives it an xid only when it writes to the WAL, each 32nd time."""
    xid = value(conn, "SELECT pg_current_xact_id_if_assigned()::text")
    return Holder(value(conn, MY_VXID), None if xid is None else int(xid))


def test_who_has_drawn_a_seq_is_a_holder_before_it_has_an_xid(conn: Connection, writer: Connection, holders: Holders):
    conn.execute(DRAW)
    assert holders() == set()
    writer.execute("SELECT 1")
    assert holders() == set()
    writer.execute(DRAW)
    assert holders() == {holder_of(writer)}


def test_holder_has_the_xid_that_snapshots_know_however_deep_its_savepoints_are(
    conn: Connection, writer: Connection, holders: Holders
):
    for name in "abc":
        writer.execute(f"SAVEPOINT {name}")
        writer.execute(INSERT)
    conn.execute("SELECT pg_current_xact_id()")  # ended after the writer's: now its xid lies below xmax, in the list
    assert holders() == {holder_of(writer)}
    assert holder_of(writer).xid in Snapshot.parse(value(conn, "SELECT pg_current_snapshot()::text")).in_progress


def test_rollback_to_a_savepoint_keeps_the_holder(writer: Connection, holders: Holders):
    writer.execute("SAVEPOINT s")
    writer.execute(INSERT)
    before = holders()
    writer.execute("ROLLBACK TO s")
    assert holders() == before != set()


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
def test_prepared_transaction_is_the_holder_that_it_was_before_until_it_ends(
    conn: Connection, writer: Connection, holders: Holders, end: str
):
    writer.execute(INSERT)
    before = holders()
    writer.execute("PREPARE TRANSACTION 'held'")
    assert holders() == before != set()
    [holder] = before
    assert holder.xid is not None
    assert Snapshot.parse(value(conn, "SELECT pg_current_snapshot()::text")).sees_running(holder.xid)
    writer.execute("BEGIN")
    writer.execute(DRAW)
    assert holders() == before | {holder_of(writer)}
    conn.execute(f"{end} PREPARED 'held'")
    assert holders() == {holder_of(writer)}


def test_prepared_transaction_outlives_its_session_as_the_same_holder(
    conn: Connection, writer: Connection, holders: Holders
):
    writer.execute(INSERT)
    before = holders()
    writer.execute("PREPARE TRANSACTION 'orphan'")
    writer.close()
    assert holders() == before != set()
    conn.execute("ROLLBACK PREPARED 'orphan'")
    assert holders() == set()


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
def test_holder_is_gone_when_its_transaction_has_ended(writer: Connection, holders: Holders, end: str):
    writer.execute(INSERT)
    writer.execute(end)
    assert holders() == set()


def test_waiter_is_not_taken_for_the_transaction_that_it_waits_for(
    conn: Connection, writer: Connection, waiter: Connection, holders: Holders
):
    conn.execute("CREATE TABLE thing (id int PRIMARY KEY)")
    writer.execute("INSERT INTO thing VALUES (1)")
    waiter.execute(DRAW)
    waiter.execute("SELECT pg_current_xact_id()")
    mine = {holder_of(waiter)}
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(waiter.execute, "INSERT INTO thing VALUES (1)")
        eventually(lambda: value(conn, BLOCKED))
        assert holders() == mine
        writer.execute("ROLLBACK")
        waiting.result(20)


def test_seq_drawn_for_a_partition_is_drawn_under_the_parents_lock(
    conn: Connection, writer: Connection, holders: Holders
):
    conn.execute(PARTITIONED)
    writer.execute("INSERT INTO part (seq) OVERRIDING SYSTEM VALUE SELECT nextval('parted_seq_seq')")
    assert holders("parted") == {holder_of(writer)}
    assert holders() == set()
