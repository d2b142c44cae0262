"""The next rows are asked for while the last ones are sent: no more than there is room for, and never too early."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from tests.integration.relay.polling import polling
from txbox.daemon import Database, Link, connect
from txbox.relay.batch import Room
from txbox.relay.cursor import Cursor
from txbox.relay.poll import SETTINGS

ADD = "INSERT INTO txbox.outbox (type, topic, payload) SELECT 'T', 't', '12345678' FROM generate_series(1, %s)"
ROOM = Room(100, 10**6)


@pytest.fixture
def session(database: Database) -> Iterator[Link[Any]]:
    with connect(Link[Any], database, "ahead", SETTINGS) as session:
        yield session


@pytest.fixture
def read(session: Link[Any]) -> Callable[[Room], list[int]]:
    """What two rows at a time are read by."""
    poll = polling(session, Cursor(), batch=2)
    return lambda room: [row.seq for row in poll.read(room).rows]


def asked(session: Link[Any]) -> bool:
    return session.info.transaction_status is TransactionStatus.ACTIVE


def test_the_next_rows_are_asked_for_before_they_are_wanted(
    conn: psycopg.Connection, session: Link[Any], read: Callable[[Room], list[int]]
):
    conn.execute(ADD, (5,))
    assert read(ROOM) == [1, 2]
    assert asked(session)
    assert [read(ROOM), read(ROOM)] == [[3, 4], [5]]
    assert not asked(session), "nothing is behind an answer that was not full"


@pytest.mark.parametrize("room", [Room(3, 10**6), Room(100, 23)], ids=["messages", "bytes"])
def test_what_is_read_ahead_fits_beside_what_is_being_sent(
    conn: psycopg.Connection, read: Callable[[Room], list[int]], room: Room
):
    conn.execute(ADD, (5,))
    assert read(room) == [1, 2]
    assert read(ROOM) == [3]
    assert read(ROOM) == [4, 5]


def test_nothing_is_read_ahead_without_room(
    conn: psycopg.Connection, session: Link[Any], read: Callable[[Room], list[int]]
):
    conn.execute(ADD, (5,))
    assert read(Room(2, 10**6)) == [1, 2]
    assert not asked(session)
    assert read(Room(0, 10**6)) == []
    assert read(ROOM) == [3, 4]


def test_what_is_executed_between_meets_an_idle_session(
    conn: psycopg.Connection, session: Link[Any], read: Callable[[Room], list[int]]
):
    conn.execute(ADD, (4,))
    assert read(ROOM) == [1, 2]
    with session.transaction(force_rollback=True):
        session.execute("DELETE FROM txbox.outbox WHERE seq = 3")
    assert read(ROOM) == [3, 4]
