"""Weeks of an outbox in a minute: the hours are those of the rows, and what is old is said by the hour that it is."""

from dataclasses import dataclass
from typing import Any, Final

import psycopg

from tests.integration.relay.test_prune import CURSOR
from txbox.relay.prune import prune
from txbox.schema import layout, partition

__all__ = ["WEEK_OF_HOURS", "Hour", "live_through"]

WEEK_OF_HOURS: Final = 7 * 24

_FILL: Final = """
INSERT INTO txbox.outbox (topic, type, payload, created_at)
SELECT 't', 'Happened', decode(repeat('ab', 300), 'hex'), now() - make_interval(hours => %s)
FROM generate_series(1, %s)
"""
_TABLES: Final = """
WITH tables AS (SELECT oid, relname, reltuples FROM pg_class WHERE relkind = 'r' AND relname ~ '^outbox(_p.*|_end)?$')
SELECT tables.relname, reltuples, pg_total_relation_size(oid), coalesce(n_dead_tup, 0)
FROM tables LEFT JOIN pg_stat_user_tables ON relid = oid
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hour:
    """How the outbox stands at the end of an hour, before the server cleans up."""

    size: int
    dead: int


def live_through(conn: psycopg.Connection[Any], pruner: psycopg.Connection[Any], hours: int, rows: int) -> list[Hour]:
    """Write so many rows an hour, publish them, prune what is older than a week; vacuum where autovacuum would."""
    conn.execute(CURSOR, ("default", 0, "{}"))
    stood = []
    for hour in range(hours):
        conn.execute(_FILL, (hours - hour, rows))
        conn.execute("UPDATE txbox.relay_cursor SET tail = %s", (layout(conn).drawn,))
        prune(pruner, (WEEK_OF_HOURS + hours - hour - 0.5) * 3600.0)
        if layout(conn).parts is not None:
            partition(conn)  # as the leader does
        for each in (conn, pruner):
            each.execute("SELECT pg_stat_force_next_flush()")
        tables = conn.execute(_TABLES).fetchall()
        stood.append(Hour(size=sum(size for *_, size, _ in tables), dead=sum(dead for *_, dead in tables)))
        for name, estimate, _, dead in tables:
            if dead > 50 + 0.2 * max(estimate, 0):
                conn.execute(f"VACUUM ANALYZE txbox.{name}".encode())
    return stood
