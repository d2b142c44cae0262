"""The cursor at its limits: a million rows of one transaction, a hundred thousand gaps, plans for two million rows."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import psycopg
import pytest

from tests.integration.relay.polling import polling
from tests.waiting import eventually
from txbox.daemon import Database, Link, connect
from txbox.relay.batch import Batch, Room, Row
from txbox.relay.cursor import Cursor, Gap
from txbox.relay.ledger import Ledger
from txbox.relay.poll import SETTINGS

Connection = psycopg.Connection[Any]

MILLION = 1_000_000
#: Seconds; a poll that goes through a million rows takes ten times as long. The quickest of many is what is held
#: against it: whatever else the machine does makes some slower.
QUICK = 0.010
MANY = "INSERT INTO txbox.outbox (type, topic) SELECT 'Many', 't' FROM generate_series(1, %s)"
ONE = "INSERT INTO txbox.outbox (type, topic) VALUES ('One', 't') RETURNING seq"


class Reader:
    """A polling source on a session of its own, and where it stands."""

    def __init__(self, conn: Link[Any], cursor: Cursor) -> None:
        self._poll = polling(conn, cursor)
        self.cursor = cursor
        #: the longest answer so far, in rows
        self.longest = 0

    def read(self) -> Sequence[Row]:
        batch: Batch = self._poll.read(Room(200_000, 256_000_000))
        self.cursor = batch.frontier.cursor
        self.longest = max(self.longest, len(batch.rows))
        return batch.rows

    def quickest(self, polls: int = 30) -> float:
        """Seconds of the quickest of so many polls, none of which finds a row."""
        best = float("inf")
        for _ in range(polls):
            began = time.perf_counter()
            rows = self.read()
            best = min(best, time.perf_counter() - began)
            assert not rows
        return best

    def drain(self, until: Callable[[], bool]) -> list[int]:
        """The seqs of all rows that come until something is so, in the order in which they came."""
        seqs: list[int] = []

        def ended() -> bool:
            rows = self.read()
            seqs.extend(row.seq for row in rows)
            return not rows and until()

        eventually(ended, within=60, every=0)
        return seqs


@pytest.fixture
def reading(database: Database) -> Callable[..., Any]:
    """A reader, for as long as the block lasts."""

    @contextmanager
    def open_(cursor: Cursor | None = None) -> Iterator[Reader]:
        with connect(Link, database, "limits", SETTINGS) as session:
            yield Reader(session, cursor or Cursor())

    return open_


def one(conn: Connection) -> int:
    """Write one row; return its seq."""
    [seq] = conn.execute(ONE).fetchone() or (0,)
    return int(seq)


@pytest.mark.parametrize("end", ["ROLLBACK", "COMMIT"])
def test_a_transaction_of_a_million_rows_is_one_gap_that_nothing_waits_for(
    conn: Connection, writer: Connection, reading: Callable[..., Any], end: str
):
    with reading() as reader:
        first = one(conn)
        assert [row.seq for row in reader.read()] == [first]
        writer.execute(MANY, [MILLION])
        assert reader.quickest() < QUICK, "while it is open"
        assert [(gap.first, gap.last) for gap in reader.cursor.gaps] == [(first + 1, first + MILLION)]
        beside = one(conn)
        assert [row.seq for row in reader.read()] == [beside]
        writer.execute(end)
        seqs = reader.drain(lambda: not reader.cursor.gaps)
        assert reader.quickest() < QUICK, "when it has ended"
    assert seqs == ([] if end == "ROLLBACK" else list(range(first + 1, first + 1 + MILLION)))
    assert reader.cursor == Cursor(beside)
    assert reader.longest <= 2000


def test_a_hundred_thousand_gaps_behind_an_idle_writer_are_asked_for_once(
    database: Database, conn: Connection, writer: Connection, reading: Callable[..., Any]
):
    """Each holds as long as the idle writer does: it might be its own, for all that anybody can see."""
    idle = one(writer)
    with conn.transaction():
        conn.execute(MANY, [200_000])
        conn.execute("DELETE FROM txbox.outbox WHERE seq % 2 = 1")
    with closing(Ledger.open(database, "default", SETTINGS)) as ledger:
        ledger.take("test", ledger.inspect())
        with reading() as reader:
            assert len(reader.drain(lambda: True)) == 100_000
            assert len(reader.cursor.gaps) == 100_000
            assert reader.quickest() < QUICK
            ledger.save(reader.cursor)
        saved = ledger.take("test", ledger.inspect())
    # A new session knows nothing of the holders: it asks for all of them again, once.
    with reading(saved) as reader:
        assert reader.drain(lambda: True) == []
        assert reader.quickest() < QUICK
        beside = one(conn)
        assert [row.seq for row in reader.read()] == [beside]
        assert len(reader.cursor.gaps) == 100_001
        writer.execute("COMMIT")
        assert reader.drain(lambda: not reader.cursor.gaps) == [idle]
        assert reader.quickest() < QUICK


def planned(session: Connection) -> list[dict[str, Any]]:
    """The plans that its statements have from now on, those that PostgreSQL kept for repeated use too."""
    plans: list[dict[str, Any]] = []
    session.add_notice_handler(lambda notice: plans.append(_plan_in(notice.message_primary or "")))
    session.execute("LOAD 'auto_explain'")
    for setting in ("log_min_duration = 0", "log_analyze = on", "log_buffers = on", "log_format = json"):
        session.execute(f"SET auto_explain.{setting}")
    session.execute("SET client_min_messages = log")
    return plans


def _plan_in(message: str) -> dict[str, Any]:
    plan: dict[str, Any] = json.loads(message[message.index("{") :])["Plan"]
    return plan


def scans(plan: dict[str, Any]) -> Iterator[str]:
    """How the outbox is read."""
    if plan.get("Relation Name", "").startswith("outbox") and "Scan" in plan["Node Type"]:
        yield plan["Node Type"]
    for below in plan.get("Plans", ()):
        yield from scans(below)


def test_every_read_goes_by_the_primary_key_whatever_the_planner_believes(database: Database, conn: Connection):
    """Without statistics it takes an index scan for a jump to another page at each row."""
    conn.execute("ALTER TABLE txbox.outbox SET (autovacuum_enabled = off)")
    with closing(Ledger.open(database, "default", SETTINGS)) as ledger:
        plans = planned(ledger.conn)
        filled = 0
        for rows in (20_000, 200_000, 2 * MILLION):
            conn.execute(MANY, [rows - filled])
            filled = rows
            read_everywhere(ledger, rows)
        conn.execute("ANALYZE txbox.outbox")
        read_everywhere(ledger, 2 * MILLION)
    assert len(plans) >= 4 * 4 * 12 * 2
    for plan in plans:
        assert set(scans(plan)) <= {"Index Scan", "Index Only Scan"}, plan
        # 2,000 rows and 1,000 gaps at the most, of which each is found in four pages: the table has 20,000.
        assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 4 * 3000 + 500, plan


def read_everywhere(ledger: Ledger, last: int) -> None:
    """At the beginning, in the middle, near the end and at it; and gaps, of one seq and of many."""
    half = last // 2
    gaps = *(Gap(seq, seq) for seq in range(1, half, last // 2000)), Gap(half, half + last // 4)
    for cursor in (Cursor(), Cursor(half), Cursor(last - 100), Cursor(last), Cursor(half + last // 4, gaps)):
        for _ in range(12):  # from the sixth on PostgreSQL may keep a plan for all parameters
            Reader(ledger.conn, cursor).read()
            ledger.outlook(cursor.tail)
