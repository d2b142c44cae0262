"""Handlers are run in a transaction that they cannot end, and each answers for what it left of it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final
from uuid import UUID

import psycopg
from psycopg import Rollback
from psycopg.pq import TransactionStatus

from txbox.consumer.consumer import Handler, Run, name_of
from txbox.consumer.context import context_of
from txbox.consumer.errors import BlockLeft, StatementLeft, TransactionControl, TransactionLeft
from txbox.consumer.guard import GuardedConnection
from txbox.consumer.outcomes import Stopped
from txbox.consumer.transactions import Transactions
from txbox.consumer.verdicts import Verdict, judge
from txbox.outbox import TransactionFailed

__all__ = ["Handlers"]


#: Seconds. A handler that takes longer may have been silent for as long as a session may be.
_LONG: Final = 0.5
#: The message's savepoint ends, and the next one's begins. In one round trip, as is what follows.
_NEXT: Final = "RELEASE txbox_message; SAVEPOINT txbox_message"
#: Deferred constraints speak; going back undoes their having spoken, and the mode too.
_SPEAK: Final = f"""\
SAVEPOINT txbox_constraints; SET CONSTRAINTS ALL IMMEDIATE; ROLLBACK TO txbox_constraints;
{_NEXT}
"""


class Handlers:
    """Runs handlers on one connection, inside `guarding`, and knows at which message something happened."""

    def __init__(self, conn: GuardedConnection, consumer: str, transactions: Transactions | None = None) -> None:
        self._conn, self._consumer = conn, consumer
        self._transactions = transactions or Transactions(conn)
        #: the message whose handler is running
        self.at: Run | None = None
        #: those that ran since the last `guarding` began, in order
        self._ran: list[Handler] = []
        #: whether there is a savepoint to go back to
        self._marked = False

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction, from BEGIN to COMMIT, of which handlers are told how it ended. Raises psycopg.Error."""
        committed = False
        try:
            with self._conn.transaction():
                yield
            self._require_idle()
            committed = True
        finally:
            self._transactions.end(committed=committed)

    def _require_idle(self) -> None:
        """Raise if a transaction is still open: it was not ours, ours was a savepoint in it, and nothing is durable."""
        if self._conn.info.transaction_status is not TransactionStatus.IDLE:
            self._conn.pgconn.finish()
            raise psycopg.OperationalError("the consumer's connection is in a transaction that is not the consumer's")

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
            self._raise_if_not_its_own(error)
            self.at = None  # it is dealt with: what goes wrong later is not its fault
            return error
        return None

    def mark(self) -> None:
        """Keep what was done so far, whatever is undone from now on."""
        self._conn.execute(_NEXT if self._marked else "SAVEPOINT txbox_message")
        self._transactions.mark()
        self._marked = True

    def undo(self, error: Exception) -> UUID:
        """Undo what was done since `mark`, for an error that is one message's own; return whose. Raises any other.

        Deferred constraints speak for what was done before: they would later, in a message that runs apart.
        """
        self._raise_if_not_its_own(error)
        if self.at is None or not self._marked:
            raise error
        culprit, self.at = self.at.message.id, None
        self._go_back(error)
        self._conn.execute(_SPEAK)
        return culprit

    def _raise_if_not_its_own(self, error: Exception) -> None:
        lost = self._conn.closed or self._conn.broken
        if lost or judge(error, handling=True, disconnected=False) is not Verdict.MESSAGE:
            raise error

    def run(self, step: Run) -> None:
        """Run a handler. Raises what it raises, and an error for what it did to the transaction.

        An SQL error that it swallowed would otherwise come up in the next message, and be blamed on that.
        """
        self.at = step
        self._ran.append(step.handling.handler)
        began = time.monotonic()
        depth = self._conn.depth
        try:
            with context_of(step.message, self._consumer), self._transactions.begin() as given:
                step.handling.handler(given, step.message)
        except Rollback as error:
            # psycopg would take it for a savepoint's own end, in silence: all effects undone, all ids committed.
            raise TransactionControl("psycopg.Rollback") from error
        finally:
            is_left = self._conn.depth != depth
            if is_left:
                self._conn.abandon(depth)
        if is_left:
            raise BlockLeft
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
                raise self._left()

    def run_apart(self, step: Run) -> None:
        """Run a handler so that what it did can be undone, and nothing else: after an error none of it is left.

        Deferred constraints speak at once, as at COMMIT; and no later than that, for the messages that follow.
        """
        if not self._marked:
            self.mark()
        try:
            self.run(step)
            self.at = step
            self._conn.execute(_SPEAK)
            self.at = None
        except TransactionLeft:
            raise
        except Exception as error:
            self._go_back(error)
            raise
        self._transactions.mark()

    def _go_back(self, error: Exception) -> None:
        try:
            self._transactions.undo()
        finally:
            if not self._conn.closed:
                with suppress(psycopg.Error):
                    self._conn.execute("ROLLBACK TO txbox_message")
        self._raise_if_left(error)

    def _raise_if_left(self, error: Exception) -> None:
        """Raise if a savepoint was not there to be left or rolled back to: what else would succeed."""
        if not self._conn.closed and self._conn.info.transaction_status is not TransactionStatus.INTRANS:
            raise self._left() from error

    def _left(self) -> TransactionLeft:
        return TransactionLeft([name_of(handler) for handler in self._ran])

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
