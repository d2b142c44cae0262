"""How a batch ended. A closed set: the loop matches each of them once."""

import re
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from txbox.consumer.errors import ConsumerError
from txbox.consumer.policy import Fate, Then
from txbox.consumer.received import Received, Record, Unreadable
from txbox.consumer.verdicts import Verdict
from txbox.outbox import OutboxError

__all__ = ["Committed", "Failed", "Handled", "Outcome", "Stopped", "explain"]

#: files in which no handler stands
_OURS: Final = re.compile(
    r"[/\\\\](psycopg|psycopg_binary|sqlalchemy|django|txbox[/\\\\](consumer|outbox|schema))[/\\\\]"
)


@dataclass(frozen=True, slots=True)
class Handled:
    """A message whose handler ran, and how long it took."""

    message: Received
    seconds: float


@dataclass(frozen=True, slots=True)
class Failed:
    """A message whose handler failed, and what becomes of it."""

    message: Received
    error: Exception
    fate: Fate
    #: what a dead one does to those behind it
    then: Then


@dataclass(slots=True, kw_only=True)
class Committed:
    """The effects and the ids are durable: the offsets may follow."""

    #: how many of the records it was given, from the first on; the others are to be fetched again
    taken: int = 0
    handled: list[Handled] = field(default_factory=list)
    #: those that were handled, or failed, in the order in which they ran
    ran: list[Received] = field(default_factory=list)
    duplicates: list[Received] = field(default_factory=list)
    #: those whose handlers failed, and those that wait behind one in their key
    failed: list[Failed] = field(default_factory=list)
    follow: list[Received] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    skipped: list[Record] = field(default_factory=list)
    #: why no more were taken, if not for want of time: as many are held as may be
    full: str = ""

    def add(self, part: "Committed") -> None:
        """Take in what became of the next records."""
        self.taken += part.taken
        self.handled += part.handled
        self.ran += part.ran
        self.duplicates += part.duplicates
        self.failed += part.failed
        self.follow += part.follow
        self.unreadable += part.unreadable
        self.skipped += part.skipped
        self.full = part.full


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """Nothing of it is left in the database: it is tried again."""

    error: Exception
    verdict: Verdict
    #: the message at which it happened, None between the handlers
    at: Received | None
    #: whether the connection is beyond use
    disconnected: bool


Outcome = Committed | Stopped


def explain(error: Exception) -> str:
    """Return what to tell people of an error: ours in full, of others the class and the place in their code.

    Not their text: PostgreSQL's, and many a handler's, holds what the message holds.
    """
    if isinstance(error, ConsumerError | OutboxError):
        return f"{type(error).__name__}: {error}"
    frames = traceback.extract_tb(error.__traceback__)
    theirs: Sequence[traceback.FrameSummary] = [frame for frame in frames if not _OURS.search(frame.filename)]
    where = f" at {theirs[-1].filename}:{theirs[-1].lineno}" if theirs else ""
    return type(error).__name__ + where


def traceback_of(error: BaseException) -> str:
    """Return where an error and its causes were raised, without their texts, as above."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    before = f"{traceback_of(cause)}\n" if cause else ""
    return f"{before}{frames}{type(error).__name__}"
