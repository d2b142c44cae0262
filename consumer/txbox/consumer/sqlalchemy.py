"""Handlers get an SQLAlchemy Session in the transaction in which their messages' ids are taken.

consumer = Consumer("billing", topics=["orders"], transactions=Sessions)
"""

import sys
from contextlib import suppress
from typing import Any, Protocol

from psycopg.pq import TransactionStatus
from sqlalchemy import create_engine
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool

from txbox.consumer.errors import BlockLeft, TransactionControl
from txbox.consumer.guard import GuardedConnection
from txbox.consumer.transactions import Transactions
from txbox.outbox import TransactionFailed

__all__ = ["Sessions"]

_BLOCK = "with session.begin_nested(): ..."


class Make(Protocol):
    """A sessionmaker, or Session itself."""

    def __call__(self, *, bind: Any, binds: Any) -> Session: ...


class Sessions(Transactions):
    """Each handler gets a Session of its own, on the consumer's connection; it is flushed when the handler returns.

    `make` is a sessionmaker, or a class that derives from Session; what it is bound to is put aside. `options` are
    those of create_engine, e.g. json_serializer or echo. For either use functools.partial(Sessions, make=...).
    """

    def __init__(self, conn: GuardedConnection, *, make: Make = Session, **options: Any) -> None:
        super().__init__(conn)
        self._make = make
        self._engine = create_engine(
            "postgresql+txbox://", creator=lambda: conn, poolclass=StaticPool, pool_reset_on_return=None, **options
        )
        dialect = self._engine.dialect
        assert isinstance(dialect, _Dialect)  # noqa: S101  # registered below
        self._dialect = dialect
        self._session = self._make(bind=self._engine, binds={})
        self._engine.connect().close()  # SQLAlchemy asks a few things at its first connection

    def begin(self) -> Session:
        """Return a Session that nobody has used."""
        self._session = self._make(bind=self._engine, binds={})
        self._dialect.lent = True
        self._dialect.rolled_back = False
        return self._session

    def flush(self) -> None:
        """Flush the Session, and close it. Raises BlockLeft, TransactionFailed, TransactionControl."""
        session = self._session
        if session.in_nested_transaction():
            raise BlockLeft
        if not session.is_active or self.conn.info.transaction_status is TransactionStatus.INERROR:
            raise TransactionFailed(_BLOCK)
        if self._dialect.rolled_back:
            raise TransactionControl("session.rollback()", _BLOCK)
        session.flush()
        self._dialect.lent = False
        session.close()

    def undo(self) -> None:
        """Let go of the Session and of what it thinks of the transaction."""
        self._dialect.lent = False
        with suppress(SQLAlchemyError):  # its savepoints cannot be gone back to on a connection that is lost
            self._session.invalidate()


class _Dialect(PGDialect_psycopg):
    """psycopg's, on a connection that is not SQLAlchemy's: neither its transaction nor itself is to be ended."""

    supports_statement_cache = True
    #: whether a handler has the Session
    lent = False
    rolled_back = False

    def on_connect(self) -> None:
        """Leave the connection as it is."""

    def do_commit(self, dbapi_connection: object) -> None:
        """Refuse, while a handler has the Session."""
        if self.lent:
            raise TransactionControl("session.commit()", _BLOCK)

    def do_rollback(self, dbapi_connection: object) -> None:
        """Refuse, while a handler has the Session.

        After an error it is only noted: a flush that fails rolls back by itself, and its own error is to be seen.
        """
        if not self.lent:
            return
        if sys.exc_info()[1] is None:
            raise TransactionControl("session.rollback()", _BLOCK)
        self.rolled_back = True

    def do_terminate(self, dbapi_connection: object) -> None:
        """Leave it open."""

    def do_close(self, dbapi_connection: object) -> None:
        """Leave it open."""


registry.register("postgresql.txbox", __name__, _Dialect.__name__)
