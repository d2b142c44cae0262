"""What a consumer counts. `docs/metrics.md` is made of this: a metric's text is all that people are told of it."""

import time
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
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

    def __init__(self, consumer: str, registry: CollectorRegistry, *, clock: Callable[[], float] = time.time) -> None:
        self._consumer, self._clock = consumer, clock
        counter, gauge = partial(Counter, registry=registry), partial(Gauge, registry=registry)
        histogram = partial(Histogram, registry=registry)
        self._messages = counter(
            "txbox_consumer_messages",
            "Messages by what became of them: processed, duplicate, skipped (no handler for the type), held (to be "
            "tried again, or behind one that is), dead (waits for a person).",
            ["consumer", "topic", "outcome"],
        )
        self._handler = histogram(
            "txbox_consumer_handler_seconds",
            "Time in a handler.",
            ["consumer", "type"],
            buckets=_SECONDS,
        )
        self._end_to_end = histogram(
            "txbox_consumer_end_to_end_latency_seconds",
            "From a record's timestamp to the commit of its effect.",
            ["consumer", "topic"],
            buckets=_END_TO_END,
        )
        self._lag = gauge(
            "txbox_consumer_lag_messages",
            "Messages behind the end of a partition that this process has.",
            ["consumer", "topic", "partition"],
        )
        lag_seconds = gauge(
            "txbox_consumer_lag_seconds",
            "How far behind in time: age of the last message that was taken, while there are more, or how long they "
            "have waited if none was taken since they came; 0 when there are none.",
            ["consumer"],
        )
        lag_seconds.labels(consumer).set_function(self._late)
        self._partitions = gauge("txbox_consumer_partitions", "Partitions assigned to this process.", ["consumer"])
        self._transactions = counter(
            "txbox_consumer_transactions",
            "Transactions by how they ended: committed, or rolled back for a message (message), for the database "
            "(outage), to run again (again), or since a handler ended it (left).",
            ["consumer", "outcome"],
        )
        self._held = gauge(
            "txbox_consumer_held_messages",
            "Messages that were taken and have not had their effect, waiting or dead; each process counts those of "
            "all.",
            ["consumer", "state"],
        )
        self.schema_version = gauge(
            "txbox_schema_version",
            "Version of the tables in the database, as this process found it when it connected.",
        )
        #: while there are messages to be handled: when the last one that was taken was written; else when they came
        self._behind_since: float | None = None

    def committed(self, outcome: Committed) -> None:
        """Count a batch that was committed."""
        now = self._clock()
        self._transactions.labels(self._consumer, "committed").inc()
        # To find a labelled metric costs more than to count with it: once a batch, not once a message.
        handler = cache(lambda type_: self._handler.labels(self._consumer, type_ or ""))
        end_to_end = cache(lambda topic: self._end_to_end.labels(self._consumer, topic))
        for handled in outcome.handled:
            handler(handled.message.type).observe(handled.seconds)
            if handled.message.timestamp is not None:
                written = handled.message.timestamp.timestamp()
                end_to_end(handled.message.topic).observe(max(now - written, 0.0))
        self._follow(outcome)
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
        if not behind:
            self._behind_since = None
        elif self._behind_since is None:
            self._behind_since = self._clock()
        self._partitions.labels(self._consumer).set(partitions)

    def _follow(self, outcome: Committed) -> None:
        """Note up to when the messages that come were written; one that was held says nothing of that."""
        if self._behind_since is None:
            return
        came = [handled.message for handled in outcome.handled if handled.message.attempt == 1][-1:]
        times = [message.timestamp.timestamp() for message in (*came, *outcome.duplicates[-1:]) if message.timestamp]
        times += [record.timestamp / 1000 for record in outcome.skipped[-1:] if record.timestamp]
        self._behind_since = max(times, default=self._behind_since)

    def _late(self) -> float:
        """Counted at each scrape: it rises even when the loop is stuck, in a handler or without its database."""
        since = self._behind_since
        return 0.0 if since is None else max(self._clock() - since, 0.0)

    def _count(self, outcome: str, topics: Iterable[str]) -> None:
        for topic, count in Tally(topics).items():
            self._messages.labels(self._consumer, topic, outcome).inc(count)
