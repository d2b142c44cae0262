"""What a relay counts. `docs/metrics.md` is made of this: a metric's text is all that people are told of it."""

import time
from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from txbox.relay.flights import Flight

__all__ = ["RelayMetrics"]

#: seconds; fine where a healthy relay lies (5 to 50 ms)
_LATENCIES: Final = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0)
_READS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0)
_SIZES: Final = (1, 10, 100, 500, 1000, 2000, 5000, 10_000)


class RelayMetrics:
    """All metrics of one relay, in `registry`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"txbox_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"txbox_{name}", text, labels, registry=registry)

        self.published = counter("relay_published", "Messages that Kafka acked.", "topic")
        self.failures = counter("relay_failures", "Messages that Kafka did not take.", "topic", "code")
        self.reconnects = counter(
            "relay_reconnects", "Terms that ended with an error, by whose it was: postgres, kafka, none.", "server"
        )
        self.pruned = counter("relay_pruned", "Published rows deleted from the outbox, being older than the retention.")
        self.read_seconds = Histogram(
            "txbox_relay_read_seconds", "Time for one read of the outbox.", buckets=_READS, registry=registry
        )
        self.batch_messages = Histogram(
            "txbox_relay_batch_messages", "Rows of a read that found some.", buckets=_SIZES, registry=registry
        )
        self.in_flight = gauge("relay_in_flight_messages", "Messages produced whose batch is not acked.")
        self.gaps = gauge("relay_gaps", "Ranges of seqs below the tail that may still appear.")
        self.leader = gauge(
            "relay_leader", "1 if this relay leads, 0 if it stands by; over all replicas the sum should be 1."
        )
        self.epoch = gauge("relay_epoch", "How many times the lead was taken.")
        self.source = gauge("relay_source_info", "1 for the source in use.", "source")
        self.last_success = gauge(
            "relay_last_success_timestamp_seconds", "When Kafka last acked a message, or nothing was waiting; 0 before."
        )
        self.pending = gauge("outbox_pending_messages", "Seqs from the first row on that waits, rolled-back ones too.")
        self.held = gauge(
            "outbox_held_messages", "Rows that Kafka refused, and those behind them in their keys, put aside."
        )
        self.schema_version = gauge(
            "schema_version", "Version of the tables in the database, as this process found it when it connected."
        )
        self.late = counter(
            "relay_late_rows", "Rows that came after it was certain that they never would: a rule was broken."
        )
        self.latency = _Latency()
        registry.register(self.latency)
        self._oldest_gap: _Since = _Since()
        self._oldest_pending: _Since = _Since()
        gauge(
            "relay_oldest_gap_age_seconds",
            "How long the oldest gap has been open, 0 for none: an open writer delays its own rows.",
        ).set_function(self._oldest_gap.age)
        gauge("outbox_oldest_pending_age_seconds", "Age of the oldest row above the cursor; 0 for none.").set_function(
            self._oldest_pending.age
        )

    def landed(self, flight: Flight, now: float) -> None:
        """Count a batch that was acked; `now` is Unix time in seconds."""
        self.acked(flight.topics, flight.created, now)

    def acked(self, topics: list[str], created: list[int], now: float) -> None:
        """Count messages that were acked at `now` (Unix time), written at `created` (milliseconds of it)."""
        for topic, count in Tally(topics).items():
            self.published.labels(topic).inc(count)
        self.latency.observe(topics, created, now)

    def gap(self, oldest: int | None) -> None:
        """Note the first undecided seq; its age is counted from when it first was the first."""
        self._oldest_gap.note(oldest, time.time())

    def stand_by(self) -> None:
        """Forget what was true of the outbox when this relay led: the leader tells it now."""
        for gauge in (self.in_flight, self.gaps, self.held):
            gauge.set(0)
        self.gap(None)
        self.outlook(0, None)

    def outlook(self, pending: int, oldest: float | None) -> None:
        """Note how much waits in the outbox, and since when (Unix time)."""
        self.pending.set(pending)
        self._oldest_pending.note(oldest, oldest or 0.0)


class _Since:
    """The age of something, counted at each scrape: it rises even when the loop is stuck."""

    def __init__(self) -> None:
        self._what: float | None = None
        self._since = 0.0

    def note(self, what: float | None, since: float) -> None:
        if what != self._what:
            self._what, self._since = what, since

    def age(self) -> float:
        return 0.0 if self._what is None else max(time.time() - self._since, 0.0)


class _Latency(Collector):
    """A histogram that takes a whole batch at once.

    Histogram.observe takes a lock a message, which is as much as all else that the relay does for one.
    """

    def __init__(self) -> None:
        self._counts: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}

    def observe(self, topics: list[str], created: list[int], now: float) -> None:
        """Count rows written at `created` (milliseconds) as acked at `now` (seconds)."""
        alone = len(names := set(topics)) == 1
        for topic in names:
            written = created if alone else [at for at, of in zip(created, topics, strict=True) if of == topic]
            counts = self._counts.setdefault(topic, [0] * (len(_LATENCIES) + 1))
            self._sums[topic] = self._sums.get(topic, 0.0) + max(now * len(written) - sum(written) / 1000, 0.0)
            # Nearly sorted already. Those written at or after `now - bound` are within that bound.
            written = sorted(written)
            outside = len(written)
            for n, bound in enumerate(_LATENCIES):
                still_outside = bisect_left(written, (now - bound) * 1000)
                counts[n] += outside - still_outside
                outside = still_outside
            counts[-1] += outside

    def collect(self) -> Iterator[HistogramMetricFamily]:
        family = HistogramMetricFamily(
            "txbox_relay_delivery_latency_seconds",
            "From a row's created_at to the ack of its batch.",
            labels=["topic"],
        )
        for topic, counts in list(self._counts.items()):
            running, buckets = 0, []
            for bound, count in zip((*map(str, _LATENCIES), "+Inf"), tuple(counts), strict=True):
                running += count
                buckets.append((bound, running))
            family.add_metric([topic], buckets, sum_value=self._sums[topic])
        yield family
