"""A consumer's loop: fetch, plan, settle, then the offsets; in between, held messages are tried again."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final, assert_never

from txbox.consumer.batch import ALL_HELD, Batches, Bounds
from txbox.consumer.broker import Broker
from txbox.consumer.config import ConsumerConfig
from txbox.consumer.consumer import Consumer, Run, plan, together
from txbox.consumer.dead_letters import DeadLetters
from txbox.consumer.errors import HeldFull, Reject
from txbox.consumer.guard import GuardedConnection
from txbox.consumer.held import Held, place_of
from txbox.consumer.inbox import Inbox
from txbox.consumer.metrics import ConsumerMetrics
from txbox.consumer.outcomes import Committed, Outcome, Stopped, explain, traceback_of
from txbox.consumer.policy import Dead, Retry, Waiting
from txbox.consumer.received import Received, Record
from txbox.consumer.retries import Retries
from txbox.consumer.transactions import Transactions
from txbox.consumer.troubles import Troubles
from txbox.daemon import Backoff, Health, Stop
from txbox.outbox import Outbox

__all__ = ["Disconnected", "Loop", "Size", "alive"]

#: seconds between looks at the lag, and at how many messages are held; and at least so many times what one takes
_LOOK_EVERY: Final = 2.0
_SHARE: Final = 20
#: seconds a transaction may last beyond what it should, when handlers have become slow: then it takes no more messages
_PATIENCE: Final = 10
#: of the time, how much held messages get while others are handled, at least
_RETRIES: Final = 0.1
#: how much the last batch counts, for how many of those that come go behind held ones
_WEIGHT: Final = 0.1

_log = logging.getLogger(__name__)


class Disconnected(Exception):
    """The database connection was lost in a batch, which was put back."""


class Loop:
    """Everything between two connections to the database."""

    def __init__(
        self,
        consumer: Consumer,
        broker: Broker,
        conn: GuardedConnection,
        schema: str,
        *,
        config: ConsumerConfig,
        health: Health,
        metrics: ConsumerMetrics,
        troubles: Troubles,
        transactions: Transactions | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._consumer, self._broker, self._troubles = consumer, broker, troubles
        self._health, self._metrics, self._clock, self._config = health, metrics, clock, config
        inbox = Inbox(conn, schema, consumer.name)
        self._held = Held(conn, schema, inbox.consumer_id, _letters(config.dead_letter_topic, schema, consumer.name))
        retry = Retry(attempts=config.attempts, first=config.backoff_first, cap=config.backoff_cap)
        seconds = _PATIENCE * config.transaction
        self._batches = Batches(
            conn,
            inbox,
            self._held,
            retry=retry,
            bounds=Bounds(seconds=seconds, held_key=config.max_held_key),
            transactions=transactions,
            beat=health.beat,
            clock=clock,
        )
        self._retries = Retries(
            conn,
            inbox,
            self._held,
            consumer.handlers,
            troubles,
            retry=retry,
            most=config.max_batch,
            seconds=seconds,
            transactions=transactions,
            beat=health.beat,
            clock=clock,
        )
        self._size = Size(seconds=config.transaction, most=config.max_batch)
        #: between batches that were nobody's fault, and between tries in an outage
        self._backoff = Backoff(first=config.backoff_first, cap=min(config.backoff_cap, 5.0))
        self._look_at = self._retry_at = 0.0
        #: Of the messages that come, how many go behind held ones. As much of the time is for those, or more and more
        #: would wait while nothing else is to be done.
        self._following = 0.0
        #: how many more messages may be held, as of the last look
        self._room = config.max_held
        #: until when nothing is fetched, since as many are held as may be
        self._full_until = 0.0
        self._full = ""
        #: what /readyz says of those that are held
        self._held_now = ""
        #: whether a batch was committed: then the next wait after an error is a short one again
        self.progressed = False

    def run(self, stop: Stop, *, once: bool = False) -> None:
        """Handle messages until stopped; with `once`, until all that was there at the start was handled, or held.

        Raises Disconnected, BrokerLost, TransactionLeft, and with `once` Outage, HeldFull; the batch under way is
        rolled back and comes again.
        """
        while not stop.requested:
            self._health.beat()
            self._report()
            if self._troubles.outage is not None:
                self._sit_out(stop, once=once)
                continue
            records = self._fetch(stop)
            if records:
                self._settle(records, stop)
            self._attend(stop, busy=bool(records))
            if once and not records and not self._held.due(1):
                if self._broker.caught_up():
                    return
                if self._full:
                    raise HeldFull(self._full)

    def _fetch(self, stop: Stop) -> Sequence[Record]:
        if self._clock() < self._full_until:
            self._broker.wait(0.05, alive(self._health, stop))
            return ()
        return self._broker.fetch(min(self._size.messages, self._troubles.most or self._size.messages))

    def _settle(self, records: Sequence[Record], stop: Stop) -> None:
        began, troubles = self._clock(), self._troubles
        steps = together(plan(self._consumer.handlers, records))
        outcome = self._batches.settle(
            steps, blamed=troubles.blamed, apart=troubles.apart, in_turn=troubles.in_turn, room=self._room
        )
        match outcome:
            case Committed(taken=taken):
                self._broker.done(records[:taken])
                self._broker.put_back(records[taken:])
                self.progressed = True
                if new := len(outcome.handled) + len(outcome.follow):
                    self._following += _WEIGHT * (len(outcome.follow) / new - self._following)
                self._size.learn(taken, self._clock() - began)
                troubles.committed(outcome)
                self._note_full(outcome)
                self._tell(outcome)
            case Stopped():
                self._broker.put_back(records)
                troubles.stopped(outcome, [step.message.id for step in steps if isinstance(step, Run)])
                self._tell_stopped(outcome, stop)
            case unknown:
                assert_never(unknown)

    def _attend(self, stop: Stop, *, busy: bool) -> None:
        """Try held messages, if some are due; for a tenth of the time while all others are handled as they come."""
        if not self._retries.due or (busy and self._clock() < self._retry_at):
            return
        began, share = self._clock(), self._config.transaction * (1 if busy else _PATIENCE)
        for outcome in self._retries.attend():
            match outcome:
                case Committed():
                    self.progressed = True
                    self._troubles.retried(outcome)
                    self._tell(outcome)
                case Stopped():
                    self._troubles.retry_stopped(outcome)
                    self._tell_stopped(outcome, stop)
            # What comes meanwhile must not wait for all that is due; nor Kafka for a sign of life.
            if stop.requested or self._troubles.outage or self._clock() - began > share:
                break
        self._retry_at = self._clock() + (self._clock() - began) * (1 / max(_RETRIES, self._following) - 1)

    def _sit_out(self, stop: Stop, *, once: bool) -> None:
        """Wait until one message passes: with partitions paused, and another message each time. Raises the outage."""
        troubles = self._troubles
        assert troubles.outage is not None, "there is something to sit out"  # noqa: S101
        if once:
            raise troubles.outage
        why = f"{explain(troubles.outage)}; {troubles.probes:,} messages tried since"
        self._health.set("handlers", False, why)
        if troubles.probes == 0:
            _log.warning("everything fails: trying one message at a time", extra={"why": why})
        # Else the same few would be tried for ever, and be all that is wrong. Before the wait: once partitions are
        # paused, what was fetched ahead is gone.
        if (waiting := len(self._broker.waiting())) < self._config.max_batch or waiting < troubles.probes:
            self._broker.gather(self._config.max_batch)
        troubles.probes += 1
        self._broker.wait(self._backoff.delay(troubles.probes), alive(self._health, stop))
        if stop.requested:
            return
        outcome = self._probe(troubles.probes)
        if isinstance(outcome, Stopped) and outcome.disconnected:
            raise Disconnected from outcome.error
        if outcome is None or self._is_passed(outcome):
            self._held.forgive(troubles.over())
            self._retries.expect(0.0)
            self._health.set("handlers", True)
            _log.info("going on")

    def _is_passed(self, outcome: Outcome) -> bool:
        """Return whether a handler did its work; to reject is work too, and comes again in a batch."""
        match outcome:
            case Committed():
                return bool(outcome.handled)
            case Stopped():
                return isinstance(outcome.error, Reject)

    def _probe(self, nth: int) -> Outcome | None:
        """Try one message that nothing comes before in its key; None if there is none at all."""
        first: dict[object, Record] = {}
        for record in self._broker.waiting():
            first.setdefault(
                place_of(record.topic, record.key) or (record.topic, record.partition, record.offset), record
            )
        steps = [step for step in plan(self._consumer.handlers, first.values()) if isinstance(step, Run)]
        if not steps:
            return self._retries.probe(nth)
        outcome = self._batches.settle([steps[nth % len(steps)]], in_turn=self._troubles.in_turn)
        if isinstance(outcome, Committed) and not outcome.handled:  # a copy, or behind one that is held
            return self._retries.probe(nth)
        return outcome

    def _note_full(self, committed: Committed) -> None:
        """Count what is held now, and fetch nothing for a second if no more may be."""
        self._room -= len(committed.failed) + len(committed.follow)
        self._full = committed.full
        if committed.full:
            self._full_until = self._clock() + 1.0
            _log.warning("paused", extra={"why": committed.full})

    def _tell(self, committed: Committed) -> None:
        self._metrics.committed(committed)
        self._health.set("database", True)
        if not self._troubles.outage:
            self._health.set("handlers", not self._full, self._full or self._held_now)
        for message in committed.duplicates:
            _log.info("already processed", extra=_place(message))
        for failed in committed.failed:
            self._tell_failed(failed.message, failed.error, failed.fate)
        if committed.follow:
            _log.info("held behind others of their keys", extra={"messages": len(committed.follow)})
        for bad in committed.unreadable:
            _log.warning(
                "dead: cannot be read",
                extra={"message_id": str(bad.id), "reason": bad.reason, "why": bad.error, **_where(bad.record)},
            )

    def _tell_failed(self, message: Received, error: Exception, fate: Waiting | Dead) -> None:
        extra = {"why": explain(error), "attempt": message.attempt, **_place(message)}
        match fate:
            case Waiting(delay):
                self._retries.expect(delay)
                _log.warning("held, it will be tried again", extra={**extra, "in_seconds": round(delay, 3)})
            case Dead(reason):
                _log.error("dead: txbox held show", extra={**extra, "reason": reason})
        _log.debug("the error", extra={"exception": traceback_of(error)})

    def _tell_stopped(self, stopped: Stopped, stop: Stop) -> None:
        self._metrics.stopped(stopped.verdict)
        place = _place(stopped.at) if stopped.at else {}
        extra = {"why": explain(stopped.error), "verdict": stopped.verdict, **place}
        _log.info("rolled back, running again", extra=extra)
        _log.debug("the error", extra={"exception": traceback_of(stopped.error)})
        if stopped.disconnected:
            raise Disconnected from stopped.error
        if self._troubles.again:
            self._broker.wait(self._backoff.delay(self._troubles.again) / 2, alive(self._health, stop))

    def _report(self) -> None:
        began = self._clock()
        if began < self._look_at:
            return
        self._metrics.lag(self._broker.lag(), self._broker.partitions)
        counts = self._held.counts()
        self._metrics.held(counts)
        self._room = self._config.max_held - sum(counts.values())
        self._held_now = (
            f"{counts['waiting']:,} messages wait to be tried again, {counts['dead']:,} are dead: txbox held list"
            if any(counts.values())
            else ""
        )
        if self._room <= 0:
            self._full_until = began + _LOOK_EVERY * 2
            self._full = ALL_HELD
        elif self._full == ALL_HELD:
            self._full = ""
        if not self._troubles.outage:
            self._health.set("handlers", not self._full, self._full or self._held_now)
        self._look_at = self._clock() + max(_LOOK_EVERY, _SHARE * (self._clock() - began))


def _letters(template: str | None, schema: str, consumer: str) -> DeadLetters | None:
    return DeadLetters(Outbox(schema=schema), consumer, template) if template else None


def alive(health: Health, stop: Stop) -> Callable[[float], bool]:
    """Return a sleep that a stop ends, and that is no sign of being stuck."""

    def wait(seconds: float) -> bool:
        health.beat()
        return stop.wait(seconds)

    return wait


class Size:
    """How many messages to put into one transaction: as many as fit into the time that it should last."""

    def __init__(self, *, seconds: float, most: int) -> None:
        self._seconds, self._most = seconds, most
        self._each = seconds  # one, until it is known how long a handler takes

    @property
    def messages(self) -> int:
        """The size for the next batch, at least 1."""
        return max(1, min(self._most, round(self._seconds / self._each)))

    def learn(self, messages: int, seconds: float) -> None:
        """Take into account how long so many messages took, duplicates too. Of few the transaction takes most."""
        if messages:
            weight = 0.3 * min(1.0, messages / self.messages)
            self._each += weight * (max(seconds / messages, 1e-6) - self._each)


def _place(message: Received) -> dict[str, object]:
    return {
        "message_id": str(message.id),
        "type": message.type,
        "topic": message.topic,
        "partition": message.partition,
        "offset": message.offset,
    }


def _where(record: Record) -> dict[str, object]:
    return {"topic": record.topic, "partition": record.partition, "offset": record.offset}
