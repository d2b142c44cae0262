"""Hostile writers against the cursor: nothing lost, no ghost, first occurrences in order within a key."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from random import Random
from typing import Any

import psycopg
import pytest

from tests.integration.relay import relay_process, stress_writer
from tests.integration.relay.stress_cursors import (
    GapAware,
    LastSeq,
    Reader,
    Seen,
    Verdict,
    XidHorizon,
    has_read,
    judge,
    truth_of,
)
from tests.integration.relay.stress_writer import KEYS, Journal, prepare_tables
from tests.integration.running import Process, process
from tests.integration.topics import Topics
from tests.waiting import eventually
from txbox.daemon import Database, Kafka

Connection = psycopg.Connection[Any]

WRITERS = 6
KILLS = 6
ROWS = 2000
#: keys that only the test itself writes
IDLE_KEY, FIRST_KEY, SECOND_KEY, OTHER_KEY = 900, 901, 902, 903
UNCOVERED = """
SELECT count(*) FROM txbox.outbox AS o
WHERE NOT EXISTS (SELECT FROM txbox.relay_cursor AS c WHERE o.seq <= c.tail AND NOT c.gaps @> o.seq)
"""


@pytest.fixture
def tables(conn: Connection) -> None:
    prepare_tables(conn)


@pytest.fixture
def others(txbox_database: str, tables: None) -> Iterator[tuple[Connection, Connection]]:
    """Two more sessions of the test's own."""
    with psycopg.connect(txbox_database, autocommit=True) as one, psycopg.connect(txbox_database) as two:
        two.autocommit = True
        yield one, two


def write(conn: Connection, key: int, topic: str = "stress") -> None:
    """Lock a key and write its next message, in the transaction that is open."""
    journal = Journal(conn, topic)
    journal.lock(key)
    journal.write(key)


@contextmanager
def hostile(database: Database, topic: str, count: int = WRITERS) -> Iterator[list[Process]]:
    """Writers, each in a process of its own, for as long as the block lasts; each must end well."""
    with ExitStack() as stack:
        arguments = [(database.url, topic, str(seed)) for seed in range(count)]
        writers = [stack.enter_context(process(stress_writer.__name__, *each)) for each in arguments]
        assert len({writer.popen.pid for writer in writers} | {os.getpid()}) == count + 1
        yield writers
        for writer in writers:
            writer.popen.terminate()
        for writer in writers:
            assert writer.ended() == 0, writer.log


def have_written(writers: list[Process], conn: Connection, rows: int) -> bool:
    """Whether each process has committed something, and all together so many rows."""
    count, pids = conn.execute("SELECT count(*), array_agg(DISTINCT pid) FROM stress_journal").fetchone() or (0, [])
    return count >= rows and {writer.popen.pid for writer in writers} <= set(pids)


def a_row_below_one_that_was_read(readers: list[Reader], late: Connection, early: Connection) -> None:
    """The later seq is committed first: who goes by the last seq has lost the other row, for certain."""
    late.execute("BEGIN")
    write(late, FIRST_KEY)
    early.execute("BEGIN")
    write(early, OTHER_KEY)
    early.execute("COMMIT")
    poll(readers)
    late.execute("COMMIT")
    poll(readers)


def two_of_a_key_in_inverse_order_of_xids(readers: list[Reader], elder: Connection, younger: Connection) -> None:
    """The elder xid writes the key's later row: who goes by xids has swapped the two, for certain."""
    elder.execute("BEGIN")
    elder.execute("SELECT pg_current_xact_id()")
    younger.execute("BEGIN")
    younger.execute("SELECT pg_current_xact_id()")
    write(younger, SECOND_KEY)
    younger.execute("COMMIT")
    poll(readers)
    write(elder, SECOND_KEY)
    elder.execute("COMMIT")
    poll(readers)


def poll(readers: list[Reader]) -> None:
    for reader in readers:
        reader.poll()


def test_gap_aware_cursor_is_right_where_simpler_ones_lose_swap_and_stall(
    database: Database, conn: Connection, others: tuple[Connection, Connection]
):
    with ExitStack() as stack:
        gap_aware = stack.enter_context(closing(GapAware(database)))
        last_seq = stack.enter_context(closing(LastSeq(database)))
        xid_horizon = stack.enter_context(closing(XidHorizon(database)))
        readers: list[Reader] = [gap_aware, last_seq, xid_horizon]
        a_row_below_one_that_was_read(readers, *others)
        two_of_a_key_in_inverse_order_of_xids(readers, *others)

        idle, _ = others
        idle.execute("BEGIN")
        write(idle, IDLE_KEY)
        with hostile(database, "stress") as writers:
            while not have_written(writers, conn, ROWS):
                poll(readers)
        eventually(lambda: has_read(gap_aware, truth_of(conn)))
        xid_horizon.poll()
        assert not [seen for seen in xid_horizon.seen if seen.key < KEYS], "one idle writer stalls it"
        assert gap_aware.cursor.gaps, "the idle writer's seq is still undecided"

        gap_aware.reconnect()
        idle.execute("COMMIT")
        eventually(gap_aware.is_decided)
        eventually(lambda: has_read(xid_horizon, truth_of(conn)))
        poll(readers)
        truth = truth_of(conn)
    assert judge(truth, gap_aware.seen) == Verdict()
    assert judge(truth, last_seq.seen).lost > 0
    assert judge(truth, xid_horizon.seen).misordered > 0


def test_relay_that_is_killed_again_and_again_loses_nothing_and_keeps_the_order(
    database: Database, kafka: Kafka, conn: Connection, others: tuple[Connection, Connection], topics: Topics
):
    topic, random, idle = topics.make(partitions=3), Random(1), others[0]
    idle.execute("BEGIN")
    write(idle, IDLE_KEY, topic)
    with hostile(database, topic) as writers:
        for _ in range(KILLS):
            tail = saved_tail(conn)
            with process(relay_process.__name__, database.url, kafka.bootstrap_servers) as relay:
                eventually(lambda: saved_tail(conn) > tail)  # noqa: B023  # it is called here
                conn.execute("SELECT pg_sleep(%s)", [random.uniform(0, 1.5)])
                relay.kill()
        eventually(lambda: have_written(writers, conn, ROWS))
    idle.execute("COMMIT")
    with process(relay_process.__name__, database.url, kafka.bootstrap_servers):
        eventually(lambda: conn.execute(UNCOVERED).fetchone() == (0,))
    published = [Seen.of((raw.header("id") or b"").decode(), raw.value) for raw in topics.read(topic)]
    assert judge(truth_of(conn), published)._replace(repeated=0) == Verdict()


def saved_tail(conn: Connection) -> int:
    [tail] = conn.execute("SELECT coalesce(max(tail), 0) FROM txbox.relay_cursor").fetchone() or (0,)
    return int(tail)
