"""Handlers are run in a transaction that they cannot end, and each answers for what it left of it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import psycopg
from psycopg import Rollback
from psycopg.pq import TransactionStatus

from txbox.consumer.consumer import Run, name_of
from txbox.consumer.errors import BlockLeft, StatementLeft, TransactionControl, TransactionLeft
from txbox.consumer.guard import GuardedConnection
from txbox.consumer.outcomes import Stopped
from txbox.consumer.transactions import Transactions
from txbox.consumer.verdicts import Verdict, judge
from txbox.outbox import TransactionFailed

__all__ = ["Handlers"]


#: Seconds. A handler that takes longer may have been silent for as long as a session may be.
_LONG: Final = 0.5
#: In one round trip. Deferred constraints speak; going back undoes their having spoken, and the mode too. Then the
#: message's savepoint ends, and the next one's begins.
_SPEAK: Final = """\
SAVEPOINT txbox_constraints; SET CONSTRAINTS ALL IMMEDIATE; ROLLBACK TO txbox_constraints;
RELEASE txbox_message; SAVEPOINT txbox_message
"""


class Handlers:
    """Runs handlers on one connection, inside `guarding`, and knows at which message something happened."""

    def __init__(self, conn: GuardedConnection, transactions: Transactions | None = None) -> None:
        self._conn = conn
        self._transactions = transactions or Transactions(conn)
        #: the message whose handler is running
        self.at: Run | None = None
        #: names of those that ran since the last `guarding` began, in order
        self._ran: list[str] = []
        #: whether there is a savepoint to go back to
        self._marked = False

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction, from BEGIN to COMMIT, of which handlers are told how it ended."""
        committed = False
        try:
            with self._conn.transaction():
                yield
            committed = True
        finally:
            self._transactions.end(committed=committed)

    @contextmanager
    def guarding(self) -> Iterator[None]:
        """Nobody ends the transaction inside. Raises TransactionLeft when a handler did, past its connection's guard.

        Within a savepoint, which is gone then: whatever else the handler raised, ids may be committed, and to try again
        would pass over them.
        """
        self.at = None
        self._ran.clear()
        self._marked = False
        try:
            with self._conn.transaction(), self._conn.guarding():
                yield
        except TransactionLeft:
            raise
        except Exception as error:
            self._raise_if_left(error)
            raise

    def attempt(self, step: Run, *, apart: bool) -> Exception | None:
        """Run a handler; return the error that is its message's own, if it runs `apart`. Raises any other."""
        if not apart:
            self.run(step)
            return None
        try:
            self.run_apart(step)
        except Exception as error:
            lost = self._conn.closed or self._conn.broken
            if lost or judge(error, handling=True, disconnected=False) is not Verdict.MESSAGE:
                raise
            self.at = None  # it is dealt with: what goes wrong later is not its fault
            return error
        return None

    def run(self, step: Run) -> None:
        """Run a handler. Raises what it raises, and an error for what it did to the transaction.

        An SQL error that it swallowed would otherwise come up in the next message, and be blamed on that.
        """
        self.at = step
        self._ran.append(name_of(step.handling.handler))
        began = time.monotonic()
        try:
            self._call(step)
        except BaseException:
            self._transactions.undo()
            raise
        if time.monotonic() - began > _LONG:
            self._conn.execute("SELECT 1")  # or a session that was ended meanwhile would be blamed on the next message
        match self._conn.info.transaction_status:
            case TransactionStatus.INTRANS:
                self.at = None
            case TransactionStatus.INERROR:
                raise TransactionFailed
            case TransactionStatus.ACTIVE:
                self._conn.pgconn.finish()  # nothing else can be said on it, not even a ROLLBACK
                raise StatementLeft
            case TransactionStatus.UNKNOWN:
                raise psycopg.OperationalError("the connection was lost, which the handler passed over")
            case _:
                raise TransactionLeft(self._ran)

    def _call(self, step: Run) -> None:
        depth = self._conn.depth
        try:
            step.handling.handler(self._transactions.begin(), step.message)
        except Rollback as error:
            # psycopg would take it for a savepoint's own end, in silence: all effects undone, all ids committed.
            raise TransactionControl("psycopg.Rollback") from error
        finally:
            is_left = self._conn.depth != depth
            if is_left:
                self._conn.abandon(depth)
        if is_left:
            raise BlockLeft
        self._transactions.flush()

    def run_apart(self, step: Run) -> None:
        """Run a handler so that what it did can be undone, and nothing else: after an error none of it is left.

        Deferred constraints speak at once, as at COMMIT; and no later than that, for the messages that follow.
        """
        if not self._marked:
            self._conn.execute("SAVEPOINT txbox_message")
            self._marked = True
        try:
            self.run(step)
            self.at = step
            self._conn.execute(_SPEAK)
            self.at = None
        except TransactionLeft:
            raise
        except Exception as error:
            self._transactions.undo()
            if not self._conn.closed:
                with suppress(psycopg.Error):
                    self._conn.execute("ROLLBACK TO txbox_message")
            self._raise_if_left(error)
            raise

    def _raise_if_left(self, error: Exception) -> None:
        """Raise if a savepoint was not there to be left or rolled back to: what else would succeed."""
        if not self._conn.closed and self._conn.info.transaction_status is not TransactionStatus.INTRANS:
            raise TransactionLeft(self._ran) from error

    def stopped(self, error: Exception) -> Stopped:
        """Return what an error means that a transaction ended with. Raises TransactionLeft.

        The connection is idle or closed then: in a transaction that was left open the next batch would never commit.
        """
        if not self._conn.closed and self._conn.info.transaction_status is not TransactionStatus.IDLE:
            self._conn.pgconn.finish()
        disconnected = self._conn.closed or self._conn.broken
        verdict = judge(error, handling=self.at is not None, disconnected=disconnected)
        if verdict is Verdict.LEFT:
            raise error
        at = self.at.message if self.at else None
        return Stopped(error=error, verdict=verdict, at=at, disconnected=disconnected)
