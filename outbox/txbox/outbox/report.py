"""What is in an outbox, for people to look at."""

from typing import Any
from uuid import UUID

from psycopg import Connection, sql
from psycopg.rows import dict_row

from txbox.schema import Statements

__all__ = ["listing", "show", "stats"]

Record = dict[str, Any]


def stats(conn: Connection[Any], schema: str = "txbox") -> Record:
    """Return how much the outbox holds: seqs, times, rows (PostgreSQL's estimate), bytes. Cheap."""
    table = sql.Identifier(schema, "outbox").as_string(None)
    return _rows(conn, schema, "stats", table=table)[0]


def listing(
    conn: Connection[Any], schema: str = "txbox", *, key: str | None = None, topic: str | None = None, limit: int = 20
) -> list[Record]:
    """Return the newest rows, newest first, of one key or topic if that is given; payloads as text."""
    return _rows(conn, schema, "list", key=key, topic=topic, limit=limit)


def show(conn: Connection[Any], which: UUID | int, schema: str = "txbox") -> Record | None:
    """Return a row by its seq, or by its message's id (which scans the table); None if it is not there."""
    if isinstance(which, int):
        found = _rows(conn, schema, "show_seq", seq=which)
    else:
        found = _rows(conn, schema, "show_id", id=which)
    return found[0] if found else None


def _rows(conn: Connection[Any], schema: str, statement: str, **parameters: object) -> list[Record]:
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(Statements(__package__, "report.sql", schema)[statement], parameters).fetchall()
