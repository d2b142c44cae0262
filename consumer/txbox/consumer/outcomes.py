"""How a batch ended. A closed set: the loop matches each of them once."""

import re
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import psycopg

from txbox.consumer.errors import ConsumerError
from txbox.consumer.received import Received, Record, Unreadable
from txbox.outbox import OutboxError

#: files in which no handler stands
_OURS: Final = re.compile(r"[/\\\\](psycopg|psycopg_binary|txbox[/\\\\](consumer|outbox|schema))[/\\\\]")

__all__ = ["Blame", "Committed", "Failed", "Handled", "Outcome", "explain", "judge"]


@dataclass(frozen=True, slots=True)
class Handled:
    """A message whose handler ran, and how long it took."""

    message: Received
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """The effects and the ids are durable: the offsets may follow."""

    handled: Sequence[Handled]
    duplicates: Sequence[Received]
    dead: Sequence[Unreadable]
    skipped: Sequence[Record]


class Blame(StrEnum):
    """Whose fault a failure is."""

    #: the handler's, or its message's
    HANDLER = "handler"
    #: the database's: it is away, or another transaction was in the way
    DATABASE = "database"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """Nothing of the batch is left in the database: it is tried again."""

    error: Exception
    blame: Blame
    #: the message at which it happened, None between the handlers
    message: Received | None
    #: whether the connection is beyond use
    disconnected: bool


Outcome = Committed | Failed


def judge(error: Exception, message: Received | None, *, disconnected: bool) -> Failed:
    """Return what an error means. Pure.

    A deadlock, a serialization failure or a lost connection is nobody's message's fault, wherever it comes up.
    """
    transient = isinstance(error, psycopg.errors.DeadlockDetected | psycopg.errors.SerializationFailure)
    theirs = message is not None and not transient and not disconnected
    blame = Blame.HANDLER if theirs else Blame.DATABASE
    return Failed(error=error, blame=blame, message=message, disconnected=disconnected)


def explain(error: Exception) -> str:
    """Return what to tell people of an error: ours in full, of others the class and the place in their code.

    Not their text: PostgreSQL's, and many a handler's, holds what the message holds.
    """
    if isinstance(error, ConsumerError | OutboxError):
        return f"{type(error).__name__}: {error}"
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if not _OURS.search(frame.filename)]
    where = f" at {theirs[-1].filename}:{theirs[-1].lineno}" if theirs else ""
    return type(error).__name__ + where
