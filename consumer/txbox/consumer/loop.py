"""A consumer's loop: fetch, plan, settle, then the offsets."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final, assert_never

from txbox.consumer.batch import settle
from txbox.consumer.broker import Broker
from txbox.consumer.config import ConsumerConfig
from txbox.consumer.consumer import Consumer, plan
from txbox.consumer.guard import GuardedConnection
from txbox.consumer.held import Held
from txbox.consumer.inbox import Inbox
from txbox.consumer.metrics import ConsumerMetrics
from txbox.consumer.outcomes import Blame, Committed, Failed, explain
from txbox.consumer.received import Received, Record
from txbox.daemon import Backoff, Health, Stop

__all__ = ["Disconnected", "Loop", "Size", "alive"]

#: seconds between looks at the lag
_LAG_EVERY: Final = 2.0

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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._consumer, self._broker, self._conn = consumer, broker, conn
        self._inbox = Inbox(conn, schema, consumer.name)
        self._held = Held(conn, schema, self._inbox.consumer_id)
        self._health, self._metrics, self._clock = health, metrics, clock
        self._size = Size(seconds=config.transaction, most=config.max_batch)
        self._backoff = Backoff(first=config.backoff_first, cap=config.backoff_cap)
        self._failures = 0
        self._lag_due = 0.0
        #: whether a batch was committed: then the next wait after an error is a short one again
        self.progressed = False

    def run(self, stop: Stop, *, once: bool = False) -> None:
        """Handle messages until stopped; with `once`, until all that was there at the start has been handled.

        Raises Disconnected, BrokerLost, TransactionLeft; the batch under way is rolled back and comes again.
        """
        while not stop.requested:
            self._health.beat()
            records = self._broker.fetch(self._size.messages)
            if records:
                self._settle(records, stop)
            self._report()
            if once and not records and self._broker.caught_up():
                return

    def _settle(self, records: Sequence[Record], stop: Stop) -> None:
        began = self._clock()
        outcome = settle(
            self._conn,
            self._inbox,
            self._held,
            plan(self._consumer.handlers, records, attempt=self._failures + 1),
            beat=self._health.beat,
        )
        match outcome:
            case Committed():
                self._broker.done(records)
                self._failures = 0
                self.progressed = True
                self._size.learn(len(outcome.handled), self._clock() - began)
                self._tell(outcome)
            case Failed():
                self._failures += 1
                self._broker.put_back(records)
                self._tell_failure(outcome)
                if outcome.disconnected:
                    raise Disconnected from outcome.error
                self._broker.wait(self._backoff.delay(self._failures), alive(self._health, stop))
            case unknown:
                assert_never(unknown)

    def _tell(self, committed: Committed) -> None:
        self._metrics.committed(committed)
        self._health.set("handlers", True)
        self._health.set("database", True)
        for message in committed.duplicates:
            _log.info("already processed", extra=_place(message))
        for bad in committed.dead:
            _log.warning(
                "dead: cannot be read",
                extra={"message_id": str(bad.id), "reason": bad.reason, "why": bad.error, **_where(bad.record)},
            )

    def _tell_failure(self, failed: Failed) -> None:
        self._metrics.failed()
        why = f"{explain(failed.error)} ({failed.blame})"
        place = _place(failed.message) if failed.message else {}
        _log.warning("batch failed, it will be tried again", extra={"why": why, "failures": self._failures, **place})
        _log.debug("the error", exc_info=failed.error)
        check = "handlers" if failed.blame is Blame.HANDLER else "database"
        self._health.set(check, False, f"{why}, {self._failures} in a row")

    def _report(self) -> None:
        if self._clock() >= self._lag_due:
            self._lag_due = self._clock() + _LAG_EVERY
            self._metrics.lag(self._broker.lag(), self._broker.partitions)


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
        """Take into account how long so many handlers took. Few say little: they mostly pay for the transaction."""
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
