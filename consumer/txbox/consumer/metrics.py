"""What a consumer counts. `docs/metrics.md` has the whole list; a test compares."""

import time
from collections import Counter as Tally
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from txbox.consumer.broker import Lag
from txbox.consumer.outcomes import Committed
from txbox.consumer.policy import Dead, Waiting
from txbox.consumer.verdicts import Verdict

__all__ = ["ConsumerMetrics"]

_SECONDS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_END_TO_END: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0, 3600.0)


class ConsumerMetrics:
    """All metrics of one consumer, in `registry`."""

    def __init__(self, consumer: str, registry: CollectorRegistry) -> None:
        self._consumer = consumer
        self._messages = Counter(
            "txbox_consumer_messages",
            "Messages by what became of them.",
            ["consumer", "topic", "outcome"],
            registry=registry,
        )
        self._handler = Histogram(
            "txbox_consumer_handler_seconds",
            "Time in a handler.",
            ["consumer", "type"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._end_to_end = Histogram(
            "txbox_consumer_end_to_end_latency_seconds",
            "From a record's timestamp to the commit of its effect.",
            ["consumer", "topic"],
            buckets=_END_TO_END,
            registry=registry,
        )
        self._lag = Gauge(
            "txbox_consumer_lag_messages",
            "Messages behind the partition's end.",
            ["consumer", "topic", "partition"],
            registry=registry,
        )
        self._lag_seconds = Gauge(
            "txbox_consumer_lag_seconds",
            "Age of the last message that was handled, while there are more; 0 when there are none.",
            ["consumer"],
            registry=registry,
        )
        self._partitions = Gauge(
            "txbox_consumer_partitions", "Partitions assigned to this process.", ["consumer"], registry=registry
        )
        self._transactions = Counter(
            "txbox_consumer_transactions",
            "Transactions by how they ended.",
            ["consumer", "outcome"],
            registry=registry,
        )
        self._held = Gauge(
            "txbox_consumer_held_messages",
            "Messages that were taken and have not had their effect; over all processes of the consumer.",
            ["consumer", "state"],
            registry=registry,
        )
        self.schema_version = Gauge("txbox_schema_version", "Version of the tables in the database.", registry=registry)
        self._last_written: float | None = None

    def committed(self, outcome: Committed) -> None:
        """Count a batch that was committed."""
        now = time.time()
        self._transactions.labels(self._consumer, "committed").inc()
        # To find a labelled metric costs more than to count with it: once a batch, not once a message.
        handler = cache(lambda type_: self._handler.labels(self._consumer, type_ or ""))
        end_to_end = cache(lambda topic: self._end_to_end.labels(self._consumer, topic))
        for handled in outcome.handled:
            handler(handled.message.type).observe(handled.seconds)
            if handled.message.timestamp is not None:
                self._last_written = handled.message.timestamp.timestamp()
                end_to_end(handled.message.topic).observe(max(now - self._last_written, 0.0))
        self._count("processed", (handled.message.topic for handled in outcome.handled))
        self._count("duplicate", (message.topic for message in outcome.duplicates))
        self._count("skipped", (record.topic for record in outcome.skipped))
        dead = [failed.message.topic for failed in outcome.failed if isinstance(failed.fate, Dead)]
        self._count("held", (failed.message.topic for failed in outcome.failed if isinstance(failed.fate, Waiting)))
        self._count("held", (message.topic for message in outcome.follow))
        self._count("dead", (*dead, *(bad.topic for bad in outcome.unreadable)))

    def stopped(self, verdict: Verdict) -> None:
        """Count a batch that was rolled back."""
        self._transactions.labels(self._consumer, verdict).inc()

    def held(self, counts: Mapping[str, int]) -> None:
        """Note how many messages are held, by state."""
        for state, count in counts.items():
            self._held.labels(self._consumer, state).set(count)

    def lag(self, lags: Iterable[Lag], partitions: int) -> None:
        """Note how far behind this process is."""
        behind = 0
        self._lag.clear()
        for topic, partition, messages in lags:
            behind += messages
            self._lag.labels(self._consumer, topic, str(partition)).set(messages)
        late = time.time() - self._last_written if behind and self._last_written else 0.0
        self._lag_seconds.labels(self._consumer).set(max(late, 0.0))
        self._partitions.labels(self._consumer).set(partitions)

    def _count(self, outcome: str, topics: Iterable[str]) -> None:
        for topic, count in Tally(topics).items():
            self._messages.labels(self._consumer, topic, outcome).inc(count)
