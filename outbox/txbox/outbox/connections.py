"""Whose transaction it is: from what the caller hands over to a cursor in that transaction."""

from typing import Any

from psycopg import Connection, Cursor
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from txbox.outbox.errors import NotInTransaction, TransactionFailed, UnknownConnection

__all__ = ["cursor_in_transaction"]


def cursor_in_transaction(given: Connection[Any] | Cursor[Any]) -> Cursor[Any]:
    """Return a new cursor in the caller's transaction; a cursor that was given keeps its results.

    Raises UnknownConnection, NotInTransaction, TransactionFailed.
    """
    conn = given.connection if isinstance(given, Cursor) else given
    if not isinstance(conn, Connection) or conn.closed:
        raise UnknownConnection(given)
    match conn.info.transaction_status:
        case TransactionStatus.IDLE if conn.autocommit:
            raise NotInTransaction
        case TransactionStatus.INERROR:
            raise TransactionFailed
    return conn.cursor(row_factory=tuple_row)
