"""Which rows pruning deletes, and which it leaves for somebody."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from tests.integration.conftest import Publish
from tests.integration.running import process
from tests.integration.topics import Topics
from tests.waiting import eventually
from txbox.cli.main import txbox
from txbox.daemon import Database, connect
from txbox.outbox import Message, Outbox
from txbox.relay import Relay
from txbox.relay.poll import Poll
from txbox.relay.prune import SETTINGS, Stride, Sweep, prune

Connection = psycopg.Connection[Any]
RelayOnce = Callable[..., Relay]

WEEK = 7 * 86_400.0
FILL = (
    "INSERT INTO txbox.outbox (topic, type, created_at) "
    "SELECT 't', 'Happened', now() - make_interval(days => %s) FROM generate_series(1, %s)"
)
CURSOR = "INSERT INTO txbox.relay_cursor (name, tail, gaps) VALUES (%s, %s, %s::int8multirange)"


@pytest.fixture
def pruner(database: Database) -> Iterator[Connection]:
    """A session as pruning has it."""
    with connect(psycopg.Connection[Any], database, "prune", SETTINGS) as conn:
        yield conn


def fill(conn: Connection, rows: int, *, days: int = 8) -> None:
    """Write rows that are so old."""
    conn.execute(FILL, (days, rows))


def seqs(conn: Connection) -> list[int]:
    """What the outbox holds."""
    return [seq for (seq,) in conn.execute("SELECT seq FROM txbox.outbox ORDER BY seq")]


@pytest.mark.parametrize(
    ("cursors", "stay"),
    [
        ((), range(1, 21)),
        (((0, "{}"),), range(1, 21)),
        (((20, "{}"),), ()),
        (((12, "{}"),), range(13, 21)),
        (((20, "{[7,7]}"),), range(7, 21)),
        (((20, "{[3,5],[9,9]}"),), range(3, 21)),
        (((20, "{[1,1]}"),), range(1, 21)),
        (((20, "{}"), (5, "{}")), range(6, 21)),
        (((20, "{[9,9]}"), (15, "{[11,12]}")), range(9, 21)),
        (((20, "{}"), (0, "{}")), range(1, 21)),
        (((500, "{}"),), ()),
    ],
    ids=str,
)
def test_rows_in_or_above_the_first_gap_or_the_tail_of_any_cursor_stay(
    conn: Connection, pruner: Connection, cursors: tuple[tuple[int, str], ...], stay: range
):
    fill(conn, 20)
    for n, (tail, gaps) in enumerate(cursors):
        conn.execute(CURSOR, (f"relay {n}", tail, gaps))
    assert prune(pruner, WEEK, dry_run=True) == 20 - len(stay)
    assert seqs(conn) == list(range(1, 21))
    assert prune(pruner, WEEK) == 20 - len(stay)
    assert seqs(conn) == list(stay)


def test_rows_that_are_too_young_stay_though_older_ones_lie_behind_them(conn: Connection, pruner: Connection):
    for days in (8, 6, 8, 0):
        fill(conn, 3, days=days)
    conn.execute(CURSOR, ("default", 12, "{}"))
    assert prune(pruner, WEEK) == 6
    assert seqs(conn) == [4, 5, 6, 10, 11, 12]
    assert prune(pruner, WEEK) == 0
    assert prune(pruner, 0.0) == 6


def test_an_open_writers_row_and_all_after_it_stay_until_they_are_published(
    conn: Connection, database: Database, pruner: Connection, publish: Publish, relay_once: RelayOnce, topics: Topics
):
    topic = topics.make()
    publish(*(Message("Early", topic=topic) for _ in range(5)))
    with psycopg.connect(database.url) as late:
        Outbox().add(late, Message("Late", topic=topic))
        publish(*(Message("After", topic=topic) for _ in range(5)))
        relay_once()
        assert prune(pruner, 0.0) == 5
        assert seqs(conn) == list(range(7, 12))
    relay_once()
    assert [raw.header("type") for raw in topics.read(topic)] == [b"Early"] * 5 + [b"After"] * 5 + [b"Late"]
    assert prune(pruner, 0.0) == 6


def test_a_relay_of_another_name_that_is_behind_loses_nothing(
    conn: Connection, pruner: Connection, publish: Publish, relay_once: RelayOnce, topics: Topics
):
    topic = topics.make()
    ids = publish(*(Message("T", topic=topic) for _ in range(10)))
    relay_once(name="behind", in_flight=3)
    ids += publish(*(Message("T", topic=topic) for _ in range(10)))
    relay_once()
    assert prune(pruner, 0.0) == 10
    relay_once(name="behind")
    assert sorted(topics.ids(topic)) == sorted(2 * list(map(str, ids)))
    assert prune(pruner, 0.0) == 10


def test_a_batch_deletes_no_more_than_it_is_told_in_a_transaction_of_its_own(conn: Connection, pruner: Connection):
    fill(conn, 1000)
    conn.execute(CURSOR, ("default", 1000, "{}"))
    sweep = Sweep(pruner, "txbox", WEEK)
    found, _ = sweep.batch(Stride(rows=100))
    assert (found.seen, found.deleted, found.last, found.young) == (100, 100, 100, None)
    assert pruner.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    assert len(seqs(conn)) == 900


def test_who_prunes_is_no_holder_of_seqs_and_waits_for_no_writer(
    conn: Connection, database: Database, pruner: Connection
):
    fill(conn, 10)
    conn.execute(CURSOR, ("default", 10, "{}"))
    with psycopg.connect(database.url) as writer:
        Outbox().add(writer, Message("Open", topic="t"))
        with pruner.transaction():
            assert Sweep(pruner, "txbox", WEEK).batch(Stride())[0].deleted == 10
            holders = conn.execute(Poll.statements("txbox")["holders"], {"table": "txbox.outbox"})
            [(vxid, _)] = holders.fetchall()
            mine = "SELECT virtualtransaction FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'virtualxid'"
            assert writer.execute(mine).fetchone() == (vxid,)


def test_pruning_that_is_killed_in_the_middle_leaves_whole_batches_and_goes_on(
    conn: Connection, database: Database, pruner: Connection
):
    fill(conn, 300_000)
    conn.execute(CURSOR, ("default", 299_990, "{}"))
    first = "SELECT min(seq) FROM txbox.outbox"
    command = ("outbox", "prune", "--older-than", "7d", "--database-url", database.url)
    with process("txbox.cli", *command) as pruning:
        eventually(lambda: (conn.execute(first).fetchone() or (0,))[0] > 1, every=0.001)
        pruning.kill()
    others = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'txbox outbox prune'"
    eventually(lambda: conn.execute(others).fetchone() == (0,))
    left = seqs(conn)
    assert left == list(range(left[0], 300_001))
    assert len(left) > 10, "it was killed too late"
    assert prune(pruner, WEEK) == len(left) - 10


def test_two_that_prune_at_once_count_each_row_once(conn: Connection, database: Database, pruner: Connection):
    fill(conn, 20_000)
    conn.execute(CURSOR, ("default", 20_000, "{}"))
    with connect(psycopg.Connection[Any], database, "prune", SETTINGS) as other:
        one, two = Sweep(pruner, "txbox", WEEK), Sweep(other, "txbox", WEEK)
        deleted = sum(
            sweep.batch(Stride(start=start, rows=700))[0].deleted for start in (0, 300) for sweep in (one, two)
        )
    assert deleted + len(seqs(conn)) == 20_000


def test_the_command_prunes_and_with_dry_run_only_counts(conn: Connection, database: Database):
    fill(conn, 30)
    fill(conn, 5, days=1)
    conn.execute(CURSOR, ("default", 34, "{}"))
    command = ["-o", "json", "outbox", "prune", "--database-url", database.url, "--older-than"]
    told = [
        json.loads(CliRunner().invoke(txbox, [*command, *rest], catch_exceptions=False).stdout)
        for rest in (["7d", "--dry-run"], ["7d"], ["7d"], ["0"])
    ]
    assert told == [{"would_prune": 30}, {"pruned": 30}, {"pruned": 0}, {"pruned": 4}]
