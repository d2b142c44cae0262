"""One batch in one transaction: ids, effects, what is put aside, COMMIT."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, assert_never
from uuid import UUID

from txbox.consumer.consumer import Run, Skipped, Step
from txbox.consumer.guard import GuardedConnection
from txbox.consumer.handling import Handlers
from txbox.consumer.held import Held, Place, place_of
from txbox.consumer.inbox import Inbox
from txbox.consumer.outcomes import Committed, Failed, Handled, Outcome
from txbox.consumer.policy import Retry, Waiting, fate
from txbox.consumer.received import Received, Record, Unreadable
from txbox.consumer.transactions import Transactions
from txbox.daemon import failpoint

__all__ = ["ALL_HELD", "Batches", "Bounds"]

#: why no more may be held
ALL_HELD: Final = "as many messages are held as may be (consumer.max_held)"

#: seconds for which it is not counted anew how many messages of a key are held
_COUNTED: Final = 10.0
#: Records that have a savepoint together: when one fails, no more than these run again. PostgreSQL remembers 64
#: subtransactions of a transaction where others see them at once, and the largest batch has 40 of these.
_PART: Final = 50
_NOBODY: Final[Mapping[UUID, Exception]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much one transaction may do."""

    #: seconds after which it takes no further message
    seconds: float = 1.0
    #: held messages of one key
    held_key: int = 10_000


@dataclass(slots=True, kw_only=True)
class _Pass:
    """One run through a batch, or through a part of it."""

    #: ids that were not taken before, and that it has not come to
    new: set[UUID]
    #: held keys, by how many rows
    blocked: dict[Place, int]
    #: those that are known to fail, and so do not run
    blamed: Mapping[UUID, Exception]
    #: whether each message's effects can be undone without those of others
    apart: bool
    #: how many more messages may be held behind others of their key
    room: int
    #: when no further message is taken, by the clock
    until: float
    outcome: Committed = field(default_factory=Committed)
    #: to be written when all handlers have run
    failed: list[tuple[Run, Failed]] = field(default_factory=list)
    follow: list[tuple[Record, Received]] = field(default_factory=list)

    def part(self, steps: Sequence[Step]) -> "_Pass":
        """Return a run through the next steps, which knows what this one does; it counts when it is added."""
        places = {_place(step) for step in steps if isinstance(step, Run)}
        return replace(
            self,
            new={_taken(step).id for step in steps if not isinstance(step, Skipped)} & self.new,
            blocked={place: self.blocked[place] for place in places if place in self.blocked},
            room=self.room - len(self.follow),
            outcome=Committed(),
            failed=[],
            follow=[],
        )

    def add(self, steps: Sequence[Step], part: "_Pass") -> None:
        """Take in what a run through the next steps came to."""
        taken = steps[: part.outcome.taken]
        self.new.difference_update(_taken(step).id for step in taken if not isinstance(step, Skipped))
        self.blocked |= part.blocked
        self.outcome.add(part.outcome)
        self.failed += part.failed
        self.follow += part.follow


class Batches:
    """Settles batches of one consumer on one connection."""

    def __init__(
        self,
        conn: GuardedConnection,
        inbox: Inbox,
        held: Held,
        *,
        retry: Retry | None = None,
        bounds: Bounds | None = None,
        transactions: Transactions | None = None,
        beat: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`beat` is called after each handler: a batch may take long, and its process is not stuck."""
        self._conn, self._inbox, self._held = conn, inbox, held
        self._retry, self._bounds = retry or Retry(), bounds or Bounds()
        self._beat, self._clock = beat, clock
        self._handlers = Handlers(conn, inbox.consumer, transactions)
        #: by how many rows keys are held
        self._counted: dict[Place, int] = {}
        self._counted_until = 0.0

    def settle(
        self,
        steps: Sequence[Step],
        *,
        blamed: Mapping[UUID, Exception] = _NOBODY,
        apart: bool = False,
        in_turn: bool = False,
        room: int = 1_000_000,
    ) -> Outcome:
        """Take the batch's ids, run the handlers of those that are new, put aside what cannot be handled, and COMMIT.

        A message that fails among others is held, and only the part of the batch that it is in runs again, each apart.
        After any other error it is all or nothing: `Stopped`, the database is as before, and the batch may be settled
        again; with those that are `blamed` held without a run, and each message `apart`. What takes too long, or has no
        `room` to be held, is left for the next time: see `Committed.taken`.
        """
        self._handlers.at = None
        try:
            with self._handlers.transaction():
                if in_turn:
                    self._inbox.take_turn()
                run = self._begin(steps, blamed, apart=apart, room=room)
                failpoint("consumer.handling")
                with self._handlers.guarding():
                    self._go(steps, run)
                self._put_aside(steps, run)
                failpoint("consumer.handled")
        except Exception as error:  # a handler may raise anything; `judge` says what it means
            return self._handlers.stopped(error)
        failpoint("consumer.committed")
        return run.outcome

    def _begin(self, steps: Sequence[Step], blamed: Mapping[UUID, Exception], *, apart: bool, room: int) -> _Pass:
        new = self._inbox.claim(_taken(step) for step in steps if not isinstance(step, Skipped))
        places = {_place(step) for step in steps if isinstance(step, Run) and step.message.id in new} - {None}
        blocked = self._lengths([p for p in places if p])
        until = self._clock() + self._bounds.seconds
        return _Pass(new=new, blocked=blocked, blamed=blamed, apart=apart, room=room, until=until)

    def _lengths(self, places: Sequence[Place]) -> dict[Place, int]:
        """Return which keys are held, and by how many rows: as of a while ago, since many rows take long to count."""
        blocked, now = self._held.lengths(places, most=1).keys(), self._clock()
        if now >= self._counted_until:
            self._counted.clear()
            self._counted_until = now + _COUNTED
        self._counted |= self._held.lengths(blocked - self._counted.keys(), self._bounds.held_key)
        return {place: self._counted[place] for place in blocked}

    def _go(self, steps: Sequence[Step], run: _Pass) -> None:
        """Go through the batch in its order, part by part, for as long as there is time. Uses up `run.new`."""
        apart = run.apart
        for start in range(0, len(steps), _PART):
            if run.outcome.taken and self._clock() > run.until:
                return
            some = steps[start : start + _PART]
            if len(steps) > 1:
                self._handlers.mark()
            part = self._part(some, run)
            run.add(some, part)
            if part.outcome.taken < len(some):
                return
            run.apart = apart or len(part.failed) > 1  # where many fail, to find each anew costs more

    def _part(self, steps: Sequence[Step], run: _Pass) -> _Pass:
        """Go through a part; if a message fails among others, once more without what was done, and each apart."""
        part = run.part(steps)
        try:
            self._walk(steps, part)
        except Exception as error:  # a handler may raise anything
            failure = error
        else:
            return part
        # Not within `except`: to other messages' handlers, and to their logs, that error is nothing.
        culprit = self._handlers.undo(failure)
        blamed, until = {**run.blamed, culprit: failure}, self._clock() + self._bounds.seconds
        part = replace(run.part(steps), blamed=blamed, apart=True, until=until)
        self._walk(steps, part)
        return part

    def _walk(self, steps: Sequence[Step], run: _Pass) -> None:
        for step in steps:
            if run.outcome.taken and self._clock() > run.until:
                return
            match step:
                case Skipped(record):
                    run.outcome.skipped.append(record)
                case Unreadable():
                    if step.id in run.new:
                        run.outcome.unreadable.append(step)
                case Run(message=message):
                    if message.id not in run.new:
                        run.outcome.duplicates.append(message)
                    elif why := self._full(place := _place(step), run):
                        run.outcome.full = why
                        return
                    else:
                        self._settle_one(step, place, run)
                case unknown:
                    assert_never(unknown)
            if not isinstance(step, Skipped):
                run.new.discard(_taken(step).id)  # a second copy in this very batch is a duplicate
            run.outcome.taken += 1

    def _full(self, place: Place | None, run: _Pass) -> str:
        """Return why no more may be held, if this one would have to be; an empty text if all is well."""
        if place is None or place not in run.blocked:
            return ""
        if run.blocked[place] >= self._bounds.held_key:
            return f"{run.blocked[place]:,} messages of one key are held (consumer.max_held_key)"
        return ALL_HELD if len(run.follow) >= run.room else ""

    def _settle_one(self, step: Run, place: Place | None, run: _Pass) -> None:
        if place is not None and place in run.blocked:
            run.blocked[place] += 1
            run.follow.append((step.record, step.message))
            run.outcome.follow.append(step.message)
            return
        run.outcome.ran.append(step.message)
        began = self._clock()
        error = run.blamed.get(step.message.id) or self._handlers.attempt(step, apart=run.apart)
        if error is None:
            run.outcome.handled.append(Handled(step.message, self._clock() - began))
        else:
            then = step.handling.then
            failed = Failed(step.message, error, fate(step.handling.retry or self._retry, error, 1), then)
            run.failed.append((step, failed))
            run.outcome.failed.append(failed)
            if place is not None and (isinstance(failed.fate, Waiting) or then == "hold"):
                run.blocked[place] = 1  # at once: those behind it in this very batch must wait
        self._beat()

    def _put_aside(self, steps: Sequence[Step], run: _Pass) -> None:
        outcome = run.outcome
        for step, failed in run.failed:
            self._held.hold(step.record, failed.message, failed.error, failed.fate, then=failed.then)
        self._held.follow(run.follow)
        self._counted |= {place: run.blocked[place] for place in run.blocked.keys() & self._counted.keys()}
        self._held.bury(outcome.unreadable)
        if run.failed or run.follow or outcome.unreadable:
            failpoint("consumer.holding")
        if outcome.taken < len(steps):
            # What was left for the next time is not taken; some of it may have come twice.
            self._inbox.release(run.new)


def _taken(step: Run | Unreadable) -> Received | Unreadable:
    return step.message if isinstance(step, Run) else step


def _place(step: Run) -> Place | None:
    return place_of(step.record.topic, step.record.key)
