"""A row that shows up where none can be: told, and published all the same."""

import psycopg
import pytest

from tests.integration.relay.polling import polling
from txbox.daemon import Database, Link, connect
from txbox.relay.batch import Room
from txbox.relay.cursor import Cursor
from txbox.relay.poll import SETTINGS


@pytest.mark.parametrize(("rolled_back", "late"), [(1, 2), (3, 3)], ids=["one seq", "a range"])
def test_a_row_in_a_void_gap_raises_the_alarm_and_is_published(
    database: Database, conn: psycopg.Connection, rolled_back: int, late: int
):
    now, alarms = [0.0], list[int]()
    session = connect(Link, database, "test", SETTINGS)
    poll = polling(session, Cursor(), alarm=alarms.extend, clock=lambda: now[0])

    def read() -> list[int]:
        now[0] += 1.0
        return [row.seq for row in poll.read(Room(100, 10**6)).rows]

    add = "INSERT INTO txbox.outbox (type, topic) VALUES ('T', 't')"
    conn.execute(add)
    with conn.transaction(force_rollback=True):
        for _ in range(rolled_back):
            conn.execute(add)
    conn.execute(add)
    assert read() == [1, rolled_back + 2]
    assert [seq for _ in range(5) for seq in read()] == []
    conn.execute("INSERT INTO txbox.outbox (seq, type, topic) OVERRIDING SYSTEM VALUE VALUES (%s, 'T', 't')", (late,))
    assert read() == []
    now[0] += 60.0
    assert [seq for _ in range(3) for seq in read()] == [late]
    assert alarms == [late]
    session.close()
