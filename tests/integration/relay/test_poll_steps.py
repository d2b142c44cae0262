"""Whatever writers do between two steps of a poll: no row is passed over, and a key keeps its order."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from tests.integration.relay.polling import polling
from tests.waiting import eventually
from txbox.daemon import Database, Link, connect
from txbox.relay.batch import Room
from txbox.relay.cursor import Cursor
from txbox.relay.poll import SETTINGS

Connection = psycopg.Connection[Any]

ADD = "INSERT INTO txbox.outbox (type, topic, aggregateid) VALUES ('T', 't', 'k')"
#: how often a poll looks at the clock, at least: between its statements, and before and after them
STEPS = 8


class Clock:
    """The time, and something to be done at one of the moments when a poll looks at it."""

    def __init__(self) -> None:
        self._left, self._do = -1, lambda: None

    def after(self, looks: int, do: Callable[[], None]) -> None:
        self._left, self._do = looks, do

    def __call__(self) -> float:
        if self._left == 0:
            self._do()
        self._left -= 1
        return time.monotonic()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=[100, 1], ids=["", "asked ahead"])
def read(database: Database, clock: Clock, request: pytest.FixtureRequest) -> Iterator[Callable[[], list[int]]]:
    """One poll, and the seqs that it returns; when they fill a batch, the next were asked for by then."""
    with connect(Link, database, "steps", SETTINGS) as session:
        poll = polling(session, Cursor(), batch=request.param, clock=clock)
        yield lambda: [row.seq for row in poll.read(Room(100, 10**6)).rows]


@pytest.mark.parametrize("waits", [False, True], ids=["asked for", "left out"])
@pytest.mark.parametrize("step", range(STEPS))
def test_rows_that_are_committed_between_two_steps_are_read_in_the_order_of_their_key(
    conn: Connection, txbox_database: str, read: Callable[[], list[int]], clock: Clock, step: int, waits: bool
):
    with psycopg.connect(txbox_database, autocommit=True) as late:
        late.execute("BEGIN")
        late.execute(ADD)
        conn.execute(ADD.replace("'k'", "'other'"))
        assert read() == [2]
        if waits:  # the holder is known by now, and the gap is asked for no more while it is there
            assert [seq for _ in range(5) for seq in read()] == []

        def commit() -> None:
            late.execute("COMMIT")
            conn.execute(ADD)

        clock.after(step, commit)
        seqs: list[int] = []

        def both() -> bool:
            seqs.extend(read())
            return len(seqs) >= 2

        eventually(both, every=0)
    assert seqs == [1, 3]
