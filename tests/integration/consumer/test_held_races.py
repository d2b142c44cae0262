"""Two owners of a key at the same moment: whoever is first, order is kept, and each message has its effect once."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import Connection

from tests.integration.consumer.conftest import Effects
from tests.integration.consumer.test_failing import rows
from tests.unit.consumer.records import record
from tests.waiting import eventually
from txbox.consumer import Consumer, Received, Retry
from txbox.consumer.batch import Batches
from txbox.consumer.consumer import plan
from txbox.consumer.guard import GuardedConnection
from txbox.consumer.held import Held, Place
from txbox.consumer.inbox import Inbox
from txbox.consumer.outcomes import Committed, Outcome
from txbox.consumer.received import Record, read
from txbox.consumer.retries import Retries
from txbox.consumer.troubles import Troubles
from txbox.daemon import Database, connect


class Owner:
    """What a consumer's process has: a connection, batches, retries."""

    def __init__(self, database: Database, consumer: Consumer) -> None:
        self._consumer = consumer
        self.conn = connect(GuardedConnection, database, "owner")
        inbox = Inbox(self.conn, "txbox", consumer.name)
        held = Held(self.conn, "txbox", inbox.consumer_id)
        self.batches = Batches(self.conn, inbox, held)
        self.retries = Retries(
            self.conn,
            inbox,
            held,
            consumer.handlers,
            Troubles(lambda: 0.0),
            retry=Retry(first=0.001, cap=0.001),
            most=100,
            seconds=1.0,
        )

    def settle(self, *records: Any, **how: Any) -> Outcome:
        return self.batches.settle(plan(self._consumer.handlers, records), **how)

    def attend(self) -> list[Outcome]:
        self.retries.expect(0.0)
        return list(self.retries.attend())


@pytest.fixture
def owner(database: Database, consumer: Consumer) -> Iterator[Callable[[], Owner]]:
    with ExitStack() as stack:

        def make() -> Owner:
            one = Owner(database, consumer)
            stack.callback(one.conn.close)
            return one

        yield make


def _id(one: Record) -> UUID:
    return read(one).id


def waits_for_a_lock(conn: Connection[Any], pid: int) -> bool:
    found = conn.execute("SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = %s", (pid,)).fetchone()
    return found == (True,)


def test_a_new_owner_that_waits_for_the_old_ones_ids_sees_what_it_held(
    consumer: Consumer, owner: Callable[[], Owner], effects: Effects, conn: Connection
) -> None:
    """A frozen owner wakes up and holds the first message; the new one has both, and must not run the second first."""
    running, going_on, old, new = threading.Event(), threading.Event(), owner(), owner()

    @consumer.handler("T")
    def handle(handlers: Connection[Any], message: Received) -> None:
        effects.add(handlers, message)
        if message.offset == 0:
            running.set()
            going_on.wait(20)
            raise ValueError

    first, second = record(key=b"a", offset=0), record(key=b"a", offset=1)
    with ThreadPoolExecutor(2) as pool:
        frozen = pool.submit(old.settle, first, apart=True)
        assert running.wait(20)
        other = pool.submit(new.settle, first, second)
        eventually(lambda: waits_for_a_lock(conn, new.conn.info.backend_pid))
        going_on.set()
        assert isinstance(frozen.result(), Committed)
        outcome = other.result()
    assert isinstance(outcome, Committed)
    assert ([m.offset for m in outcome.duplicates], [m.offset for m in outcome.follow]) == ([0], [1])
    assert effects.count() == 0


def test_of_many_who_try_it_one_does_and_nobody_passes_over_it(
    consumer: Consumer, owner: Callable[[], Owner], effects: Effects, conn: Connection
) -> None:
    failing = True

    @consumer.handler("T")
    def handle(handlers: Connection[Any], message: Received) -> None:
        effects.add(handlers, message)
        if failing and message.offset == 0:
            raise ValueError
        handlers.execute("SELECT pg_sleep(0.05)")

    given = [record(key=b"a", offset=n) for n in range(6)]
    owners = [owner() for _ in range(4)]
    owners[0].settle(*given, apart=True)
    assert len(rows(conn)) == 6
    failing = False

    def until_empty(one: Owner) -> None:
        while rows(one.conn):
            one.attend()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(until_empty, owners))
    assert effects.ids() == [str(_id(r)) for r in given]


def test_followers_of_a_head_that_somebody_is_at_are_not_taken_for_heads(
    consumer: Consumer, owner: Callable[[], Owner], effects: Effects, conn: Connection, txbox_database: str
) -> None:
    consumer.handler("T")(effects.add)

    @consumer.handler("Bad")
    def bad(*_: object) -> None:
        raise ValueError

    one = owner()
    one.settle(record("Bad", key=b"a", offset=0), record(key=b"a", offset=1), apart=True)
    with psycopg.connect(txbox_database) as other:
        other.execute("SELECT FROM txbox.held_messages WHERE reason = 'failed' FOR UPDATE")
        for _ in range(3):
            assert not [o for o in one.attend() if isinstance(o, Committed) and (o.handled or o.failed)]
        held = Held(one.conn, "txbox", Inbox(one.conn, "txbox", consumer.name).consumer_id)
        [(key,)] = conn.execute("SELECT DISTINCT key FROM txbox.held_messages").fetchall()
        with one.conn.transaction():
            assert held.take_line(Place("orders", bytes(key)), 10, 10**6) == []
    assert effects.count() == 0


def test_whoever_asks_for_no_more_goes_on_there_the_next_time(
    consumer: Consumer, owner: Callable[[], Owner], effects: Effects, conn: Connection
) -> None:
    """The loop takes its turns; a key is not left to be found by a sweep, which may be long after."""
    failing = True

    @consumer.handler("T", alone=True)
    def handle(handlers: Connection[Any], message: Received) -> None:
        if failing:
            raise ValueError
        effects.add(handlers, message)

    given = [record(key=key, offset=n) for n, key in enumerate([b"a", b"a", b"a", b"b", b"b"])]
    one = owner()
    one.settle(*given, apart=True)
    failing = False
    conn.execute("UPDATE txbox.held_messages SET due_at = now() WHERE due_at IS NOT NULL")
    one.retries.expect(0.0)
    tries = 0
    while effects.count() < 5:
        tries += 1
        assert one.retries.due, "all the time"
        assert next(one.retries.attend(), None) is not None, "each time"
    assert tries < 10


def test_a_deferred_constraint_among_those_that_follow_is_found_however_little_time_there_is(
    consumer: Consumer, owner: Callable[[], Owner], conn: Connection, effects: Effects
) -> None:
    """Who asks for one outcome at a time, and begins anew each time, gets on too."""
    conn.execute("CREATE TABLE charge (n int UNIQUE DEFERRABLE INITIALLY DEFERRED); INSERT INTO charge VALUES (3)")
    bad = {0}

    @consumer.handler("T")
    def handle(conn: Connection[Any], message: Received) -> None:
        effects.add(conn, message)
        conn.execute("INSERT INTO charge VALUES (%s)", (message.offset,))
        if message.offset in bad:
            raise ValueError

    one = owner()
    one.settle(*(record(key=b"a", offset=n) for n in range(6)), apart=True)
    bad.clear()

    def step() -> bool:
        one.retries.expect(0.0)
        next(one.retries.attend(), None)
        return effects.count() == 3

    eventually(step)
    rows = conn.execute("SELECT kafka_offset, attempts FROM txbox.held_messages ORDER BY n").fetchall()
    assert rows[0] == (3, 1)
    assert [offset for offset, _ in rows] == [3, 4, 5]
