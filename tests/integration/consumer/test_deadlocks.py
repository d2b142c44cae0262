"""Two members whose handlers want the same rows in opposite orders: deadlocks are nobody's fault."""

import psycopg

from tests.integration.consumer.group import Group
from tests.integration.consumer.traffic import effect
from tests.waiting import eventually
from txbox.consumer import Received


def test_deadlocks_cost_no_attempt_and_every_effect_happens_once(group: Group, conn: psycopg.Connection) -> None:
    conn.execute("CREATE TABLE stock (item int PRIMARY KEY, taken int NOT NULL DEFAULT 0)")
    conn.execute("INSERT INTO stock SELECT generate_series(0, 4)")
    attempts: set[int] = set()

    def take(conn: psycopg.Connection, message: Received) -> None:
        attempts.add(message.attempt)
        effect(conn, message)
        for item in (message.offset % 5, message.offset * 3 % 5):
            conn.execute("UPDATE stock SET taken = taken + 1 WHERE item = %s", [item])

    def deadlocks() -> int:
        found = conn.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").fetchone()
        return found[0] if found else 0

    with group.thread(take) as first, group.thread(take) as second:
        group.share(first, second)
        with group.traffic.flowing():
            eventually(lambda: deadlocks() > 0, within=60)
            group.traffic.more(group.effects, 500)
        group.settled()
    assert attempts == {1}
    assert conn.execute("SELECT sum(taken) FROM stock").fetchone() == (2 * len(group.traffic.written),)
