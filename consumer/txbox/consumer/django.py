"""Handlers use Django's models in the transaction in which their messages' ids are taken.

consumer = Consumer("billing", topics=["orders"], transactions=Atomic)
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.postgresql import base, psycopg_any
from psycopg import ServerCursor
from psycopg.client_cursor import ClientCursorMixin
from psycopg.pq import TransactionStatus

from txbox.consumer.errors import BlockLeft, TransactionControl
from txbox.consumer.guard import GuardedConnection, GuardedCursor
from txbox.consumer.outcomes import explain
from txbox.consumer.transactions import Transactions
from txbox.outbox import TransactionFailed

__all__ = ["Atomic"]

_BLOCK = "with transaction.atomic(): ..."
_log = logging.getLogger(__name__)


class Atomic(Transactions):
    """Each handler gets Django's connection, as inside of transaction.atomic(): models of `using` are in it too.

    In this thread Django's connection is the consumer's own, to the database that the consumer is configured with.
    What handlers give to transaction.on_commit runs after COMMIT, unless their message failed.
    For another alias use functools.partial(Atomic, using=...).
    """

    def __init__(self, conn: GuardedConnection, *, using: str = DEFAULT_DB_ALIAS) -> None:
        super().__init__(conn)
        self._using = using
        self._before = connections[using]
        self._block = transaction.Atomic(using, savepoint=True, durable=False)
        self._connection = _lent(self._before, conn)
        self._connection.connect()
        connections[using] = self._connection
        #: how many hooks are of what is kept
        self._hooks = 0

    @contextmanager
    def begin(self) -> Iterator[Any]:
        """Django's connection, as it is inside an atomic block. Raises BlockLeft, TransactionFailed."""
        ours = self._connection
        ours.in_atomic_block, ours.commit_on_exit, ours.autocommit = True, True, False
        ours.needs_rollback = ours.closed_in_transaction = False
        ours.savepoint_ids, ours.atomic_blocks = [], [self._block]
        yield ours
        if len(ours.atomic_blocks) != 1:
            raise BlockLeft
        if ours.needs_rollback:
            raise TransactionFailed(_BLOCK)

    def mark(self) -> None:
        """Keep the hooks that there are."""
        self._hooks = len(self._connection.run_on_commit)

    def undo(self) -> None:
        """Forget the hooks of what is undone."""
        del self._connection.run_on_commit[self._hooks :]

    def end(self, *, committed: bool) -> None:
        """Run the hooks of transaction.on_commit. One that fails is logged: what was committed stays."""
        ours = self._connection
        ours.in_atomic_block, ours.needs_rollback, ours.autocommit = False, False, True
        ours.savepoint_ids, ours.atomic_blocks = [], []
        hooks, ours.run_on_commit = ours.run_on_commit, []
        for _, hook, _ in hooks if committed else ():
            try:
                hook()
            except Exception as error:  # a hook may raise anything
                _log.error("a hook of transaction.on_commit failed", extra={"why": explain(error)})
                _log.debug("the error", exc_info=error)
        left = self.conn.info.transaction_status is not TransactionStatus.IDLE or not self.conn.autocommit
        if left and not self.conn.closed:
            self.conn.pgconn.finish()  # the next batch would be in a hook's transaction, which nobody commits

    def close(self) -> None:
        """Give Django back the connection that it had."""
        connections[self._using] = self._before


def _lent(theirs: BaseDatabaseWrapper, conn: GuardedConnection) -> Any:
    """Return a connection of Django's, of the same backend and settings, that lives on `conn`."""

    class Adapted:
        """Reads and writes values as Django does; inbox and held messages, on the same connection, as psycopg does."""

        @property
        def adapters(self) -> Any:
            return psycopg_any.get_adapters_template(settings.USE_TZ, lent.timezone)

    class Cursor(Adapted, GuardedCursor, base.Cursor):
        pass

    class NamedCursor(Adapted, ClientCursorMixin[Any], ServerCursor[Any]):
        pass

    class Lent(type(theirs)):  # type: ignore[misc]
        def get_new_connection(self, _: object) -> GuardedConnection:
            return conn

        def create_cursor(self, name: str | None = None) -> Any:
            return NamedCursor(conn, name, scrollable=False) if name else Cursor(conn)

        def close(self) -> None:
            if conn.guarded:
                raise TransactionControl("connection.close()", _BLOCK)

    options = {name: value for name, value in theirs.settings_dict["OPTIONS"].items() if name != "pool"}
    lent = Lent({**theirs.settings_dict, "OPTIONS": options}, theirs.alias)
    return lent
