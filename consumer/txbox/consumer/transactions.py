"""What handlers get: the psycopg connection on which their messages' ids were taken, or something on top of it.

    for each connection      Transactions(conn)     when nothing is open on it
      for each transaction
        for each message     with begin() as what its handler gets
        SAVEPOINT            mark()
        ROLLBACK TO          undo()                 before it
        COMMIT, ROLLBACK     end()                  after it
                             close()
All are called in the thread in which handlers run.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from txbox.consumer.guard import GuardedConnection

__all__ = ["Transactions"]


class Transactions:
    """Handlers get the connection itself. One that derives from it may give them something else in its place.

    Whatever that is, it works on `conn`, in the transaction that is open there: nothing else is committed together with
    the message's id. The connection refuses to end it while handlers run.
    """

    def __init__(self, conn: GuardedConnection) -> None:
        self.conn = conn
        self._given = nullcontext(conn)

    def begin(self) -> AbstractContextManager[Any]:
        """Return a block around a handler, whose value it gets.

        Left without an error, all that the handler did has been sent to the database; one that comes then is its own.
        """
        return self._given

    def mark(self) -> None:
        """Keep what was done so far, whatever is undone from now on."""

    def undo(self) -> None:
        """Forget what was done since `mark`: it is about to be rolled back, or lost with the connection."""

    def end(self, *, committed: bool) -> None:
        """Take note that the transaction has ended, and what it did is durable, or gone; an error changes nothing."""

    def close(self) -> None:
        """Let go of the connection, which is closed next."""
