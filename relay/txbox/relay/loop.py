"""A leader's loop: read, send, save what has arrived; now and then, try again what is held."""

import logging
import time
from collections.abc import Callable, Collection
from typing import Final, assert_never

from confluent_kafka import KafkaError

from txbox.daemon import Health, Meaning, Stop, failpoint, meaning
from txbox.relay.batch import Batch, Diverted, Reason, Source
from txbox.relay.config import RelayConfig
from txbox.relay.cursor import Cursor, Frontier
from txbox.relay.errors import AccessDenied, PublisherLost, RelayError, TopicMissing, Undeliverable
from txbox.relay.flights import Failure
from txbox.relay.holding import Holding
from txbox.relay.ledger import Ledger, Saves
from txbox.relay.metrics import RelayMetrics
from txbox.relay.pace import Pace
from txbox.relay.publisher import Publisher
from txbox.relay.retries import Retries
from txbox.relay.traces import tell_sent

__all__ = ["Loop"]

#: seconds without an ack after which a relay is not ready: far more than Kafka takes, far less than people wait
_OVERDUE: Final = 10.0
#: seconds between looks at how much waits in the outbox
_OUTLOOK_EVERY: Final = 5.0

_log = logging.getLogger(__name__)


class Loop:
    """One term: from taking the lead until a stop or an error. Every way out but stop is survived by `Relay`."""

    def __init__(
        self,
        source: Source,
        publisher: Publisher,
        ledger: Ledger,
        holding: Holding,
        *,
        cursor: Cursor,
        config: RelayConfig,
        health: Health,
        metrics: RelayMetrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source, self._publisher, self._ledger, self._holding = source, publisher, ledger, holding
        self._health, self._metrics, self._clock = health, metrics, clock
        self._config = config
        self._saves = Saves(every=config.save_every, clock=clock)
        self._retries = Retries(holding, publisher, clock)
        #: rows to be held, whose batches have arrived
        self._to_hold: list[Diverted] = []
        self._sent: Frontier | None = None
        self._arrived: Frontier | None = None
        self._saved: Frontier | None = None
        #: the one that the term began with, then what was saved last
        self._saved_cursor = cursor
        self._outlook_due = 0.0
        #: whether anything went well: then the next wait after an error is a short one again
        self.progressed = False

    def run(self, stop: Stop, *, once: bool = False) -> None:
        """Publish until stopped; with `once`, until everything that is visible now was published.

        Rows of one key leave in order; a crash may repeat rows, never lose one. Raises psycopg.Error, KafkaException,
        Undeliverable, TopicMissing, AccessDenied, PublisherLost, Superseded, and what `Ledger.inspect` raises.
        """
        pace = Pace(self._config.poll_min, self._config.poll_max)
        while not stop.requested:
            try:
                batch = self._read()
                self._send(batch)
            except (Undeliverable, TopicMissing, AccessDenied):
                self._settle(finally_=True)  # else what has arrived would be sent again each time that this is tried
                raise
            self._publisher.serve(pace.after(batch))
            self._settle()
            more = self._retry(stop) or batch.more
            self._report(batch)
            if once and not more:
                break
        self._drain(stop)
        if unacked := self._publisher.in_flight:
            if once:
                raise PublisherLost(f"{unacked:,} messages were not acked within {self._config.drain_timeout:g} s")
            _log.warning("stopped before all was acked; it will be published again", extra={"messages": unacked})

    def _read(self) -> Batch:
        began = self._clock()
        batch = self._source.read(self._publisher.room())
        self._metrics.read_seconds.observe(self._clock() - began)
        if batch.rows:
            self._metrics.batch_messages.observe(len(batch.rows))
            failpoint("relay.read")
        return batch

    def _send(self, batch: Batch) -> None:
        """Hand the batch on; one that only moves the cursor goes the same way, behind those before it."""
        if batch.rows or batch.hold or batch.frontier is not self._sent:
            self._sent = batch.frontier
            self._publisher.send(batch)
            if batch.rows:
                failpoint("relay.produced")

    def _settle(self, *, finally_: bool = False) -> None:
        """Save the cursor of what has arrived, when it is time, and fail with what Kafka did not take."""
        progress = self._publisher.progress()
        for flight in progress.landed:
            self._arrived = flight.frontier
            self._to_hold += flight.hold
            if flight.topics:
                self._well()
                self._metrics.landed(flight, time.time())
                tell_sent(flight.traced, flight.departed)
                failpoint("relay.acked")
        failed = progress.failure is not None
        if self._arrived is not self._saved and (failed or finally_ or self._saves.due()):
            self._save(self._arrived)
        if progress.failure is not None:
            self._metrics.failures.labels(progress.failure.topic, progress.failure.error.name()).inc()
            if not progress.held:
                raise _error_of(progress.failure, progress.refused)

    def _save(self, frontier: Frontier | None) -> None:
        assert frontier is not None, "saved only when something arrived"  # noqa: S101
        began, cursor = self._clock(), frontier.cursor
        self._saved = frontier
        # What is known of a gap's holders changes more often than the cursor.
        if cursor != self._saved_cursor or self._to_hold:
            if self._to_hold:
                self._hold(cursor)
                began = self._clock()  # counts for nothing: the longer the wait, the more there would be to write
            else:
                self._ledger.save(cursor)
            self._saves.saved(began)
            self._saved_cursor = cursor
            self._source.saved(cursor)
            failpoint("relay.saved")

    def _hold(self, cursor: Cursor) -> None:
        """Save the cursor together with the rows that it passes without their having been published."""
        rows, self._to_hold = self._to_hold, []
        self._holding.save(cursor, rows)
        self.progressed = True
        for row in rows:
            if row.reason is Reason.REFUSED:
                _log.warning("message held", extra={"seq": row.seq, "topic": row.topic, "why": row.error})

    def _retry(self, stop: Stop) -> bool:
        """Do what people wish about held rows, with nothing else under way; return whether there may be more to do."""
        if not self._retries.due():
            return False
        self._drain(stop)
        if self._publisher.in_flight or stop.requested:
            return False
        deadline = self._clock() + self._config.drain_timeout

        def wait() -> bool:
            self._health.beat()
            self._look()
            return not stop.requested and self._clock() < deadline

        for row in self._retries.attend(wait):
            self._metrics.acked([row.topic], [row.created], time.time())
        return True

    def _drain(self, stop: Stop) -> None:
        """Wait for the acks of what is under way, then save; give up after the limit or at a second stop."""
        deadline = self._clock() + self._config.drain_timeout
        while self._publisher.in_flight and not stop.now and self._clock() < deadline:
            self._publisher.serve(0.05)
            self._health.beat()
            self._settle()
            self._look()
        self._settle(finally_=True)

    def _report(self, batch: Batch) -> None:
        """Tell the metrics and /readyz how it stands."""
        self._health.beat()
        in_flight = self._publisher.in_flight
        self._metrics.in_flight.set(in_flight)
        self._metrics.held.set(self._holding.count)
        if not in_flight and not batch.more:
            self._well()
        elif self._publisher.waited > _OVERDUE:
            why = f"Kafka has not acked a message for {self._publisher.waited:.0f} s; nothing is lost"
            self._health.set("publishing", False, why)
        self._metrics.gaps.set(batch.frontier.gap_count)
        self._metrics.gap(batch.frontier.first_gap)
        self._look()

    def _well(self) -> None:
        """Note that messages arrive, or that there are none."""
        self.progressed = True
        held = f"{self._holding.count:,} messages are held: txbox outbox held" if self._holding.count else ""
        self._health.set("publishing", True, held)
        self._metrics.last_success.set_to_current_time()

    def _look(self) -> None:
        """Every few seconds, look at the sequence and at how much waits; the session is never silent for longer."""
        if self._clock() >= self._outlook_due:
            self._outlook_due = self._clock() + _OUTLOOK_EVERY
            self._ledger.inspect()  # rows that a restarted sequence hides move no cursor, and no save would notice
            self._metrics.outlook(*self._ledger.outlook(self._saved_cursor.tail))


def _error_of(failure: Failure, refused: Collection[str]) -> RelayError:
    """Return what a delivery that failed means for the term."""
    match meaning(failure.error):
        case Meaning.POISON:
            return Undeliverable(failure.message_ids[0], failure.topic, failure.error.str(), refused)
        case Meaning.RETRY if failure.error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            return AccessDenied(failure.topic, failure.error.str(), {failure.topic})
        case Meaning.RETRY:
            # "Failed" only says that nobody knows: the message may be on the log. So it is read and sent again; the
            # topic's first row alone, since all that is sent with it would be repeated for as long as it fails.
            return PublisherLost(failure.error.str(), {failure.topic})
        case Meaning.FATAL:
            return PublisherLost(failure.error.str())
        case unknown:
            assert_never(unknown)
