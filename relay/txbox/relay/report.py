"""How relays stand, for people to look at."""

import time
from typing import Any

from psycopg import Connection, sql
from psycopg.rows import dict_row

from txbox.schema import Statements

__all__ = ["status"]


Record = dict[str, Any]


def status(conn: Connection[Any], schema: str = "txbox", *, over: float = 0.0) -> list[Record]:
    """Return a record for each relay that ever led: who leads and stands by, how far it is, what waits and is held.

    Cheap. With `over` it looks twice, so many seconds apart, for `per_second`: how fast the cursor moves.
    """
    before, began = _look(conn, schema), time.monotonic()
    if not over or not any(record["leading"] for record in before):
        return [{**record, "per_second": None} for record in before]
    time.sleep(over)
    tails = {record["name"]: record["tail"] for record in before}
    after, seconds = _look(conn, schema), time.monotonic() - began
    return [{**now, "per_second": (now["tail"] - tails.get(now["name"], 0)) / seconds} for now in after]


def _look(conn: Connection[Any], schema: str) -> list[Record]:
    table = sql.Identifier(schema, "outbox").as_string(None)
    statement = Statements(__package__, "report.sql", schema)["status"]
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement, {"schema": schema, "table": table}).fetchall()
