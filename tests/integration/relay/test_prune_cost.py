"""What pruning costs the server, however much the outbox holds."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.integration.relay.test_prune import CURSOR, WEEK, fill
from tests.integration.relay.weeks import WEEK_OF_HOURS, live_through
from txbox.daemon import Database, connect
from txbox.relay.prune import SETTINGS, Stride, Sweep, prune
from txbox.schema import Statements, partition

Connection = psycopg.Connection[Any]


@pytest.fixture
def pruner(database: Database) -> Iterator[Connection]:
    """A session as pruning has it."""
    with connect(psycopg.Connection[Any], database, "prune", SETTINGS) as conn:
        yield conn


def test_no_scan_is_of_the_whole_outbox_however_many_rows_it_holds(conn: Connection, pruner: Connection):
    fill(conn, 200_000)
    conn.execute(CURSOR, ("default", 199_000, "{[150000,150010]}"))
    statement = Statements("txbox.relay", "prune.sql", "txbox")["batch"]
    for analyzed in (False, True):
        if analyzed:
            conn.execute("ANALYZE txbox.outbox")
        for start, rows in ((0, 50), (100_000, 100), (149_000, 5000), (150_000, 50)):
            parameters = {"older_than": WEEK, "dry_run": False, "start": start, "rows": rows}
            with pruner.transaction(force_rollback=True):
                explain = b"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + statement
                [[plan]] = pruner.execute(explain, parameters).fetchone() or ([],)
            assert outbox_scans(plan["Plan"]) <= {"Index Scan", "Index Only Scan"}, plan
            # A few pages a row at the most, of thousands: the two walks, and the deletion itself.
            assert plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"] < 200 + 10 * rows, plan


def outbox_scans(plan: dict[str, Any]) -> set[str]:
    """The nodes that read the outbox."""
    own = {plan["Node Type"]} if plan.get("Relation Name") == "outbox" and "Scan" in plan["Node Type"] else set()
    return own.union(*(outbox_scans(below) for below in plan.get("Plans", ())))


def test_a_walk_does_not_pass_what_was_deleted_before(conn: Connection, pruner: Connection):
    fill(conn, 50_000)
    conn.execute(CURSOR, ("default", 50_000, "{}"))
    with psycopg.connect(conn.info.dsn, password=conn.info.password) as reader:
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT")  # while it looks, nothing that is deleted can be cleaned away
        sweep, start, reads = Sweep(pruner, "txbox", WEEK), 0, list[int]()
        for rows in (10, 40_000, 10):
            before = blocks(pruner)
            found, _ = sweep.batch(Stride(start=start, rows=rows))
            reads.append(blocks(pruner) - before)
            start = (found.last or 0) + 1
    assert start == 40_021
    assert reads[2] <= 2 * reads[0], reads


BLOCKS = """
SELECT idx_blks_hit + idx_blks_read + heap_blks_hit + heap_blks_read
FROM pg_statio_user_tables
WHERE relid = 'txbox.outbox'::regclass
"""


def blocks(conn: Connection) -> int:
    """How many pages of the outbox and its primary key were read so far."""
    conn.execute("SELECT pg_stat_force_next_flush()")
    [count] = conn.execute(BLOCKS).fetchone() or (0,)
    return int(count)


def test_space_is_used_again(conn: Connection, pruner: Connection):
    conn.execute(CURSOR, ("default", 0, "{}"))
    sizes = []
    for _ in range(20):
        fill(conn, 2000)
        conn.execute("UPDATE txbox.relay_cursor SET tail = (SELECT max(seq) FROM txbox.outbox)")
        assert prune(pruner, WEEK) == 2000
        conn.execute("VACUUM txbox.outbox")
        conn.execute("SELECT pg_stat_force_next_flush()")
        [size] = conn.execute("SELECT pg_total_relation_size('txbox.outbox')").fetchone() or (0,)
        sizes.append(size)
    dead = conn.execute("SELECT n_dead_tup FROM pg_stat_user_tables WHERE relid = 'txbox.outbox'::regclass").fetchone()
    assert dead == (0,)
    assert max(sizes[10:]) <= 2 * max(sizes[:3]), sizes


@pytest.mark.parametrize("partitioned", [False, True], ids=["plain", "partitioned"])
def test_an_outbox_is_as_large_after_weeks_as_after_the_first(conn: Connection, pruner: Connection, partitioned: bool):
    if partitioned:
        partition(conn, rows=48 * 20)
    stood = live_through(conn, pruner, hours=3 * WEEK_OF_HOURS, rows=20)
    full = stood[WEEK_OF_HOURS].size
    assert max(hour.size for hour in stood) <= 1.6 * full
    assert max(hour.dead for hour in stood) <= (0 if partitioned else 50 + 0.3 * WEEK_OF_HOURS * 20)
