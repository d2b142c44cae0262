"""What an error means for the batch in which it came up. Pure: one function, a closed set."""

from enum import StrEnum
from typing import Final

import psycopg

from txbox.consumer.errors import TransactionLeft

__all__ = ["Verdict", "judge", "of_driver"]


class Verdict(StrEnum):
    """Whose fault a failure is, and so what follows."""

    #: nobody's: two transactions were in each other's way; the batch runs again, no attempt is counted
    AGAIN = "again"
    #: the database's, for every message alike: wait until it is back
    OUTAGE = "outage"
    #: the transaction is not there any more: what was committed cannot be told, the process stops
    LEFT = "left"
    #: the message's, or its handler's: an attempt
    MESSAGE = "message"


#: deadlock, serialization failure, lock not available
_IN_THE_WAY: Final = {"40P01", "40001", "55P03"}
#: statement_timeout, or pg_cancel_backend
_CANCELED: Final = "57014"
#: connection, resources (disk, memory, connections), shutdown: https://www.postgresql.org/docs/current/errcodes-appendix.html
_AWAY: Final = ("08", "53", "57P")
#: modules of frameworks' errors
_WRAPPING: Final = ("sqlalchemy.", "django.")


def of_driver(error: Exception) -> psycopg.Error | None:
    """Return the driver's error, which SQLAlchemy and Django wrap into one of their own."""
    if type(error).__module__.startswith(_WRAPPING) and isinstance(error.__cause__, psycopg.Error):
        return error.__cause__
    return error if isinstance(error, psycopg.Error) else None


def judge(error: Exception, *, handling: bool, disconnected: bool) -> Verdict:
    """Return what an error means that came up while a handler ran (`handling`), or else between our own statements.

    A session that a handler loses by being silent for longer than it may counts for its message. One that is lost
    without a word does not: the word of a server that restarts may be lost on the way. (Who always loses it is found by
    `Troubles`.)
    """
    if isinstance(error, TransactionLeft):
        return Verdict.LEFT
    cause = of_driver(error)
    state = (cause.sqlstate if cause else None) or ""
    if state in _IN_THE_WAY or (state == _CANCELED and not handling):
        return Verdict.AGAIN
    without_a_word = not state and isinstance(cause, psycopg.OperationalError)
    if state.startswith(_AWAY) or (disconnected and (without_a_word or not handling)):
        return Verdict.OUTAGE
    return Verdict.MESSAGE
