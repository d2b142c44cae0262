"""What went wrong lately, and so how the next batch is run. Knows no I/O; outlives connections."""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import psycopg

from txbox.consumer.errors import Outage
from txbox.consumer.outcomes import Committed, Stopped, explain
from txbox.consumer.policy import Dead, Reason
from txbox.consumer.verdicts import Verdict

__all__ = ["Streak", "Troubles"]

#: as often in a row may a message be in somebody's way, or lose the database, before it counts as its own fault
_PATIENCE: Final = 5
#: seconds of taking turns after a deadlock
_TURNS: Final = 60.0

#: of the last so many messages, at least so many must have failed, of so many keys, for it to be nobody's own fault
_WINDOW: Final = 50
_LEAST: Final = 20
_KEYS: Final = 2


class Streak:
    """How the last messages fared when they were handled for the first time.

    Not when they were tried again: two bad messages that are tried ten times each are no outage.
    """

    def __init__(self) -> None:
        self._last: deque[tuple[object, bool]] = deque()
        self._failures = 0
        #: those that failed since all was well
        self.failed: list[UUID] = []

    def note(self, key: object, message: UUID, *, ok: bool) -> None:
        """Note how a message fared. One without a key is given one of its own."""
        self._last.append((key, ok))
        self._failures += not ok
        if len(self._last) > _WINDOW:
            self._failures -= not self._last.popleft()[1]
        if not ok:
            self.failed.append(message)
        elif self.failed and 2 * self._failures <= len(self._last):
            self.failed.clear()

    @property
    def is_outage(self) -> bool:
        """Whether so many failed that no one message can be to blame."""
        if self._failures < _LEAST or 2 * self._failures <= len(self._last):
            return False
        return len({key for key, ok in self._last if not ok}) >= _KEYS


@dataclass(slots=True)
class Troubles:
    """State between batches: who is to blame, how carefully to go on, whether to go on at all."""

    clock: Callable[[], float]
    #: messages whose handlers failed in a batch that was rolled back: they are held, and do not run again at once
    blamed: dict[UUID, Exception] = field(default_factory=dict)
    #: whether each message is run apart from the others
    apart: bool = False
    #: how many messages to put into a batch, at most, while it is not known which of them fails at COMMIT
    most: int | None = None
    #: why nothing is handled at the moment but one message now and then; None if all is well
    outage: Exception | None = None
    #: how many messages were tried in this outage
    probes: int = 0
    #: batches in a row that were nobody's fault and ran again
    again: int = 0
    streak: Streak = field(default_factory=Streak)
    _repeats: Counter[UUID] = field(default_factory=Counter)
    _turns_until: float = float("-inf")

    @property
    def in_turn(self) -> bool:
        """Whether the consumer's processes take turns."""
        return self.clock() < self._turns_until

    def committed(self, outcome: Committed) -> None:
        """Learn from a batch that went through."""
        self.apart, self.most, self.again = False, None, 0
        self._repeats.clear()
        # A handler that rejects a message is at work: whatever it needs is there.
        bad = {failed.message.id for failed in outcome.failed if failed.fate != Dead(Reason.REJECTED)}
        for message in outcome.ran:  # in that order: all that failed, last, would be an outage in any large batch
            self._note(message.key, message.id, ok=message.id not in bad)
        if self.blamed:
            for message in (*outcome.ran, *outcome.duplicates):  # a duplicate: others dealt with it meanwhile
                self.blamed.pop(message.id, None)
        if self.streak.is_outage:
            self.outage = Outage(explain(outcome.failed[-1].error) if outcome.failed else "")

    def retried(self, outcome: Committed) -> None:
        """Learn from a held message that was tried again."""
        self.again = 0
        for failed in outcome.failed:
            self.blamed.pop(failed.message.id, None)
            if self.streak.failed:
                self.streak.failed.append(failed.message.id)

    def stopped(self, outcome: Stopped, batch: Sequence[UUID]) -> None:
        """Learn from a batch that was rolled back; `batch` are the ids of its messages."""
        if self._weigh(outcome) is not Verdict.MESSAGE:
            return
        if outcome.at is not None or not self.apart:
            self.apart = True  # whoever it is: a deferred constraint speaks when its message runs apart
        elif len(batch) > 1:
            self.most = (len(batch) + 1) // 2
        else:
            self.blamed |= dict.fromkeys(batch, outcome.error)
            self.again += 1  # if it cannot be held either, it comes here again, and again

    def retry_stopped(self, outcome: Stopped) -> None:
        """Learn from held messages whose transaction was rolled back."""
        self._weigh(outcome)

    def _weigh(self, outcome: Stopped) -> Verdict:
        """Return whose fault it is, all in all, and note that."""
        verdict, at = outcome.verdict, outcome.at
        if verdict is not Verdict.MESSAGE and at is not None:
            self._repeats[at.id] += 1
            if self._repeats[at.id] >= _PATIENCE:
                verdict = Verdict.MESSAGE
        if isinstance(outcome.error, psycopg.errors.DeadlockDetected):
            self._turns_until = self.clock() + _TURNS
        if verdict is Verdict.OUTAGE:
            # A connection that is lost is made anew until there is one: that is probing enough.
            self.outage = None if outcome.disconnected else outcome.error
        elif verdict is Verdict.AGAIN:
            self.again += 1
        elif at is not None:
            self.blamed[at.id] = outcome.error
        return verdict

    def over(self) -> list[UUID]:
        """End the outage; return the messages that were held because of it, and lost an attempt."""
        held = self.streak.failed
        self.outage, self.probes, self.streak = None, 0, Streak()
        return held

    def _note(self, key: object, message: UUID, *, ok: bool) -> None:
        self.streak.note(message if key is None else key, message, ok=ok)
