"""What handlers get: the psycopg connection on which their message's id was taken, or something on top of it.

    for each connection     Transactions(conn)      when nothing is open on it
      for each transaction
        now and then        mark()                  what was done so far stays, as far as it is ours to say
        for each message    begin()                 what the handler gets
                            the handler
                            flush()                 if it returned
                            undo()                  if it, or what came after it, failed: back to the mark
        COMMIT, ROLLBACK    end()
                            close()
All are called in the thread in which handlers run.
"""

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

    def mark(self) -> None:
        """Remember this point: the next `undo` goes back to it. Without one it goes back to the transaction's begin."""

    def begin(self) -> Any:
        """Return what the next handler gets, in the transaction that is open."""
        return self.conn

    def flush(self) -> None:
        """Send to the database what the handler left unsent. An error is the handler's."""

    def undo(self) -> None:
        """Forget what handlers did since the mark: it is about to be rolled back, or lost. May be called again."""

    def end(self, *, committed: bool) -> None:
        """The transaction has ended; what it did is durable, or gone. Nothing is undone by an error."""

    def close(self) -> None:
        """Leave the connection: it is closed next."""
