"""How relays stand, for people to look at."""

from typing import Any

from psycopg import Connection, sql
from psycopg.rows import dict_row

from txbox.schema import Statements

__all__ = ["status"]


def status(conn: Connection[Any], schema: str = "txbox") -> list[dict[str, Any]]:
    """Return a record for each relay that ever led: who leads, how far it is, and what waits. Cheap."""
    table = sql.Identifier(schema, "outbox").as_string(None)
    statement = Statements(__package__, "report.sql", schema)["status"]
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement, {"schema": schema, "table": table}).fetchall()
