"""Held messages are tried again when their time has come; those behind one follow it at once."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Final
from uuid import UUID

from txbox.consumer.consumer import Handling, Run
from txbox.consumer.errors import ConsumerError
from txbox.consumer.guard import GuardedConnection
from txbox.consumer.handling import Handlers
from txbox.consumer.held import NOWHERE, Held, HeldRow, Place
from txbox.consumer.inbox import Inbox
from txbox.consumer.outcomes import Committed, Failed, Handled, Outcome, Stopped
from txbox.consumer.policy import Dead, Reason, Retry, fate
from txbox.consumer.received import Received, Unreadable
from txbox.consumer.transactions import Transactions
from txbox.consumer.troubles import Troubles
from txbox.consumer.verdicts import Verdict
from txbox.daemon import failpoint

__all__ = ["NoHandler", "Retries"]

#: seconds between looks for what another process held, or a person mended
_LOOK_EVERY: Final = 1.0
#: and at least so many times what a look takes
_SHARE: Final = 20
#: how many are looked for at a time
_MOST: Final = 100
#: held keys a sweep
_KEYS: Final = 1_000
#: bytes of payloads in one transaction
_SIZE: Final = 16_000_000


class NoHandler(ConsumerError):
    """A held message has a type that no handler is registered for any more."""

    def __init__(self, type_: str | None) -> None:
        super().__init__(f"no handler for type {type_!r}: was one removed, or is the message's type mistyped?")


class Retries:
    """Tries one consumer's held messages on one connection. Any number of processes may: each row is one's right."""

    def __init__(
        self,
        conn: GuardedConnection,
        inbox: Inbox,
        held: Held,
        handlers: Mapping[str | None, Handling],
        troubles: Troubles,
        *,
        retry: Retry,
        most: int,
        seconds: float,
        transactions: Transactions | None = None,
        beat: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`most` messages and `seconds` are the bounds of a transaction."""
        self._conn, self._inbox, self._held, self._by_type = conn, inbox, held, handlers
        self._troubles, self._retry, self._most, self._seconds = troubles, retry, most, seconds
        self._beat, self._clock = beat, clock
        self._handlers = Handlers(conn, inbox.consumer, transactions)
        self._some_alone = any(handling.alone for handling in handlers.values())
        self._look_at = self._sweep_at = clock()
        #: how far the keys were looked through
        self._swept = NOWHERE
        #: keys whose head is done, and that have not been followed to their end
        self._lines: list[Place] = []
        #: those of which each message is to run apart the next time
        self._careful: set[Place] = set()
        #: those that were found, and have not been tried
        self._found: deque[UUID] = deque()

    def expect(self, seconds: float) -> None:
        """Look again after so many seconds: something is due then."""
        self._look_at = min(self._look_at, self._clock() + seconds)

    @property
    def due(self) -> bool:
        """Whether it is time to look."""
        return bool(self._lines or self._found) or self._clock() >= self._look_at

    def attend(self) -> Iterator[Outcome]:
        """Try what is due, a transaction each time that the next outcome is asked for.

        An attempt that failed is committed with its row, like one that passed. Whoever asks for no more goes on there
        the next time. Raises TransactionLeft.
        """
        yield from self._follow_all()
        if not self._found:
            self._found.extend(self._find())
        while self._found:
            if outcome := self._try_head(self._found.popleft()):
                yield outcome
                yield from self._follow_all()

    def probe(self, nth: int) -> Outcome | None:
        """Try one message whether it is due or not, another each time; None if none waits. A failure is not noted."""
        ids = self._held.soonest(_MOST)
        # One that somebody else is at tells nothing.
        return self._try_head(ids[nth % len(ids)], probing=True) or Committed() if ids else None

    def _find(self) -> list[UUID]:
        began = self._clock()
        found = self._held.due(_MOST)
        if began >= self._sweep_at:
            swept = self._clock()
            ids, self._swept = self._held.freed(self._swept, _KEYS)
            found += ids
            # Not at once from the beginning again; but what is left of many keys as soon as it costs little.
            every = _LOOK_EVERY if self._swept == NOWHERE else 0.0
            self._sweep_at = self._clock() + max(every, _SHARE * (self._clock() - swept))
        # More than were asked for may be due: then there is no time to lose.
        self._look_at = self._clock() if len(found) >= _MOST else min(self._sweep_at, self._next_look(began))
        return found

    def _next_look(self, began: float) -> float:
        ended = self._clock()
        return ended + max(_LOOK_EVERY, _SHARE * (ended - began))

    def _try_head(self, id_: UUID, *, probing: bool = False) -> Outcome | None:
        """Try a message if it is still there, still the first of its key, and nobody is at it."""
        outcome = Committed()
        place: Place | None = None
        self._handlers.at = None
        try:
            with self._handlers.transaction():
                self._take_turn()
                row = self._head(id_, probing=probing)
                if row is None:
                    return None
                place = row.place
                failpoint("consumer.retrying")
                with self._handlers.guarding():
                    ended = self._try(row, outcome, apart=not probing, flush=False)
                if ended:
                    self._held.done([row.message_id])
        except Exception as error:  # a handler may raise anything; `judge` says what it means
            stopped = self._handlers.stopped(error)
            if stopped.verdict is Verdict.MESSAGE and not probing:
                self._troubles.blamed[id_] = error  # at COMMIT, or with the connection: it is not run again at once
            return stopped
        if place is not None and (ended or self._is_released(outcome)):
            self._lines.append(place)
        return outcome

    def _head(self, id_: UUID, *, probing: bool) -> HeldRow | None:
        for row in self._held.take([id_]):
            if row.state == "waiting" and (row.due or probing) and self._held.is_first(row):
                return row
        return None

    def _follow_all(self) -> Iterator[Outcome]:
        """Handle what waits behind messages that are gone, in order, batch by batch; who asks no more goes on there."""
        while self._lines:
            place = self._lines[-1]
            outcome = self._try_line(place, apart=place in self._careful)
            if not self._goes_on(place, outcome):
                self._lines.pop()
            if isinstance(outcome, Stopped) or outcome.taken:
                yield outcome

    def _goes_on(self, place: Place, outcome: Outcome) -> bool:
        """Return whether there is more to do in a key; note how it is to be done."""
        was_careful = place in self._careful
        self._careful.discard(place)
        match outcome:
            case Committed():
                return bool(outcome.taken) and (not outcome.failed or self._is_released(outcome))
            case Stopped(verdict=Verdict.MESSAGE, disconnected=False) if not was_careful:
                self._careful.add(place)  # whoever it is: a deferred constraint speaks when its message runs apart
                return True
            case _:
                self._look_at = self._sweep_at = self._clock()  # it has no time: only a sweep finds it
                return False

    def _try_line(self, place: Place, *, apart: bool) -> Outcome:
        """Handle as many of a key's messages as one transaction may have."""
        outcome, done = Committed(), list[UUID]()
        self._handlers.at = None
        try:
            with self._handlers.transaction():
                self._take_turn()
                rows = self._held.take_line(place, self._most, _SIZE)
                began = self._clock()
                with self._handlers.guarding():
                    for row in rows:
                        late = self._clock() - began > self._seconds
                        if not row.due or (outcome.taken and (late or self._is_alone(row))):
                            break
                        outcome.taken += 1
                        if self._try(row, outcome, apart=apart):
                            done.append(row.message_id)
                        if outcome.failed or self._is_alone(row):
                            break
                if done:
                    self._held.done(done)
        except Exception as error:  # as above
            return self._handlers.stopped(error)
        return outcome

    def _try(self, row: HeldRow, outcome: Committed, *, apart: bool, flush: bool = True) -> bool:
        """Run a message's handler; return whether it had its effect. Raises what is not the message's own fault."""
        message = row.read()
        if isinstance(message, Unreadable):
            self._held.failed(row, message.error, Dead(Reason(message.reason)), then="release")
            outcome.unreadable.append(message)
            return False
        handling = self._handling(message.type)
        began = self._clock()
        error = self._error_of(handling, message, row, apart=apart)
        if error is None:
            outcome.handled.append(Handled(message, self._clock() - began))
            self._beat()
            return True
        then = handling.then if handling else "hold"
        retry = (handling.retry if handling else None) or self._retry
        failed = Failed(message, error, fate(retry, error, row.attempts + 1), then)
        self._held.failed(row, error, failed.fate, then=then, flush=flush)
        outcome.failed.append(failed)
        return False

    def _error_of(self, handling: Handling | None, message: Received, row: HeldRow, *, apart: bool) -> Exception | None:
        """Run the handler; return the error that counts as an attempt. Raises any other."""
        if handling is None:
            return NoHandler(message.type)
        if (blamed := self._troubles.blamed.get(message.id)) is not None:
            return blamed
        return self._handlers.attempt(Run(handling, message, row.record), apart=apart)

    def _is_alone(self, row: HeldRow) -> bool:
        if not self._some_alone:
            return False
        handling = self._handling(row.read().type)
        return handling is not None and handling.alone

    def _handling(self, type_: str | None) -> Handling | None:
        return self._by_type.get(type_) or self._by_type.get(None)

    def _is_released(self, outcome: Committed) -> bool:
        """Return whether the last message failed for good, and is in nobody's way."""
        if outcome.unreadable:
            return True
        last = outcome.failed[-1] if outcome.failed else None
        return last is not None and isinstance(last.fate, Dead) and last.then == "release"

    def _take_turn(self) -> None:
        if self._troubles.in_turn:
            self._inbox.take_turn()
