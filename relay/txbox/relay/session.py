"""Whether a connection is a session of one's own: one backend, whatever comes between two statements."""

from contextlib import closing
from typing import Any, Final

from psycopg import Connection
from psycopg.rows import scalar_row

from txbox.daemon import Database, Link, connect
from txbox.relay.errors import SharedSession
from txbox.schema import Statements

__all__ = ["require_own"]

#: how many statements show whether another session is served by several backends: more than a pool keeps idle
_LOOKS: Final = 20


def require_own(conn: Connection[Any], database: Database) -> None:
    """Return unless a pooler lends the backend of `conn` to others. Raises SharedSession, psycopg.Error.

    Two statements of one idle session meet the same backend even there: a pool gives the one last used first. So a
    second session is asked for, and must meet neither that one nor several. A direct connection costs one statement:
    it was told its backend's pid when it began, while a pooler tells a number of its own.
    """
    statements = Statements(__package__, "ledger.sql", database.schema)
    mine = _backend(conn, statements)
    if mine == conn.info.backend_pid:
        return
    with closing(connect(Link[Any], database, "relay probe")) as other:
        others = {_backend(other, statements) for _ in range(_LOOKS)}
    if mine in others or len(others) > 1 or _backend(conn, statements) != mine:
        raise SharedSession


def _backend(conn: Connection[Any], statements: Statements) -> int:
    with conn.cursor(row_factory=scalar_row) as cursor:
        return int(cursor.execute(statements["backend"]).fetchone() or 0)
