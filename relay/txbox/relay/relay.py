"""The daemon: stand by, lead, reconnect."""

import logging
import os
import socket
from collections.abc import Sequence
from contextlib import closing

import psycopg
from confluent_kafka import KafkaException
from prometheus_client import CollectorRegistry

from txbox.daemon import Backoff, Database, Health, Kafka, Stop, admin_settings
from txbox.daemon.kafka import is_misconfigured, told
from txbox.relay.config import RelayConfig
from txbox.relay.errors import (
    AnotherLeader,
    InRecovery,
    OldTimeline,
    PublisherLost,
    RelayError,
    RelayWaits,
    Undeliverable,
)
from txbox.relay.guards import Facts
from txbox.relay.holding import Holding
from txbox.relay.ledger import Ledger
from txbox.relay.loop import Loop
from txbox.relay.metrics import RelayMetrics
from txbox.relay.poll import SETTINGS, Poll
from txbox.relay.pruner import pruning
from txbox.relay.publisher import Publisher

__all__ = ["Relay"]

#: seconds between a standby's tries for the lead
_STAND_BY = 0.5

#: what a relay waits out; everything else needs a person, and ends it
_SURVIVED = (psycopg.Error, KafkaException, RelayWaits)

_log = logging.getLogger(__name__)


class Relay:
    """Publishes the committed rows of one outbox to Kafka, for as long as it runs.

    At least once, in order a key, from the saved cursor on; any number of relays of one name may run, one of them
    leads. `health` and `registry` are what a daemon serves over HTTP.
    """

    def __init__(
        self,
        database: Database,
        kafka: Kafka,
        config: RelayConfig | None = None,
        *,
        registry: CollectorRegistry | None = None,
        stop: Stop | None = None,
    ) -> None:
        self._database, self._kafka = database, kafka
        self._config = config or RelayConfig()
        admin_settings(kafka)  # a refused setting is told now, not when this standby comes to lead
        self.registry = registry or CollectorRegistry()
        self.health = Health("database", "kafka", "publishing", role="standby")
        self._metrics = RelayMetrics(self.registry)
        self._metrics.source.labels("poll").set(1)
        self._stop = stop or Stop()
        self._backoff = Backoff(first=0.1, cap=10.0)
        self._failures = 0
        self._suspects: set[str] = set()
        #: that of the last server on which we stood by or led
        self._timeline = 0

    def stop(self) -> None:
        """Ask `run` to end after the acks of what is under way; asked twice, at once. From any thread."""
        self._stop.request()

    def run(self, *, once: bool = False) -> None:
        """Stand by, lead, and start again after errors, until stopped.

        `once` publishes what is visible now, and returns; nothing is waited out then.
        Raises CursorAhead, WrongCluster, UnfitSequence, SharedSession, HiddenRows, SchemaError, RefusedSetting; with
        `once` AnotherLeader and whatever else went wrong. Nothing is lost by any of them.
        """
        while not self._stop.requested:
            try:
                self._serve(once=once)
                if once:
                    return
            except _SURVIVED as error:
                if once and not self._holds(error):
                    raise
                self._survive(error)

    def _serve(self, *, once: bool) -> None:
        """Stand by, then lead, on one session."""
        with closing(Ledger.open(self._database, self._config.name, SETTINGS)) as ledger:
            try:
                facts = self._stand_by(ledger, once=once)
                if facts is not None:
                    self._lead(ledger, facts, once=once)
            finally:
                self._follow()  # before the session ends and frees the lead: no two say at once that they have it

    def _stand_by(self, ledger: Ledger, *, once: bool) -> Facts | None:
        """Wait for the lead; return what the database is like when we have it, None when asked to stop before."""
        facts = self._inspect(ledger)
        waited = False
        while not ledger.lock():
            if once:
                raise AnotherLeader(self._config.name)
            if not waited:
                _log.info("standing by, another relay leads", extra={"relay": self._config.name})
                self._metrics.stand_by()
                self.health.set("database", True)
                self.health.set("kafka", True, "a standby does not use it")
                self.health.set("publishing", True, "another relay publishes")
            waited = True
            self.health.beat()
            if self._stop.wait(_STAND_BY):
                return None
        if not waited:
            return facts
        self._suspects.clear()  # another one has led since, and dealt with them
        return self._inspect(ledger)

    def _inspect(self, ledger: Ledger) -> Facts:
        """Return what the database is like, unless it is one that a failover, which we have seen, left behind."""
        self._metrics.schema_version.set(ledger.require_schema())
        facts = ledger.inspect()
        timeline = facts.timeline or 0
        if timeline < self._timeline:
            raise OldTimeline(self._timeline, timeline)
        self._timeline = timeline
        return facts

    def _lead(self, ledger: Ledger, facts: Facts, *, once: bool) -> None:
        """Publish until stopped, or until an error."""
        cursor = ledger.take(f"{socket.gethostname()}:{os.getpid()}", facts)
        _log.info(
            "leading",
            extra={"relay": self._config.name, "epoch": ledger.epoch, "tail": cursor.tail, "gaps": len(cursor.gaps)},
        )
        self.health.role("leader")
        self._metrics.leader.set(1)
        self._metrics.epoch.set(ledger.epoch)
        self._metrics.outlook(*ledger.outlook(cursor.tail))  # each term: one that is held up at once never comes to it
        self.health.set("database", True)  # not before: a lock of somebody's may hold up the cursor's row or the outbox
        holding = Holding(ledger, self._database.schema)
        self._metrics.held.set(holding.count)
        publisher = Publisher(self._kafka, self._config, self._suspects, holding.keys, self._kafka_is)
        source = Poll(
            ledger.conn,
            self._database.schema,
            batch=self._config.batch,
            template=self._config.topic,
            admit=publisher.admit,
            alarm=self._late,
        )
        with closing(publisher):
            publisher.check()
            source.start(cursor)
            loop = Loop(
                source,
                publisher,
                ledger,
                holding,
                cursor=cursor,
                config=self._config,
                health=self.health,
                metrics=self._metrics,
            )
            retention = 0 if once else self._config.retention
            try:
                with pruning(self._database, self._config.name, retention, self._metrics.pruned.inc):
                    loop.run(self._stop, once=once)
            finally:
                self._failures = 0 if loop.progressed else self._failures

    def _follow(self) -> None:
        """Lead no more."""
        self.health.role("standby")
        self._metrics.leader.set(0)

    def _kafka_is(self, ok: bool, why: str) -> None:
        self.health.set("kafka", ok, why)

    def _late(self, seqs: Sequence[int]) -> None:
        """Tell of rows that came after it was certain that they never would."""
        self._metrics.late.inc(len(seqs))
        _log.error(
            "late rows: a rule was broken, they are published out of order. Did somebody insert with OVERRIDING SYSTEM "
            "VALUE, or set the sequence back?",
            extra={"relay": self._config.name, "seqs": list(seqs[:20])},
        )

    def _holds(self, error: Exception) -> bool:
        """Return whether nobody needs to do anything now: what is refused once more, alone, will be held."""
        return isinstance(error, Undeliverable) and self._config.on_undeliverable == "hold"

    def _why(self, error: Exception) -> str:
        """Return what went wrong and, where PostgreSQL says too little, what to look for."""
        if not isinstance(error, psycopg.errors.QueryCanceled):
            return told(error)
        return (
            f"{told(error)}. Somebody's lock on the outbox or the cursor may have held it up (pg_blocking_pids), or "
            f"database.statement_timeout ({self._database.statement_timeout:g} s) is too short"
        )

    def _survive(self, error: Exception) -> None:
        """Note an error and wait a little before the next term."""
        self._failures += 1
        checks: tuple[str, ...]
        match error:
            case psycopg.Error() | InRecovery() | OldTimeline():
                server, checks = "postgres", ("database",)
            case KafkaException():
                # Brokers answer the next term's first question, and that says nothing yet of publishing.
                server, checks = "kafka", ("kafka", "publishing")
            case PublisherLost():
                server, checks = "kafka", ("publishing",)
            case _:
                server, checks = "none", ("publishing",)
        if isinstance(error, RelayError):
            self._suspects |= error.suspects
            if self._holds(error):
                _log.info("Kafka refused messages, each is tried alone", extra={"messages": len(error.suspects)})
                return
        if is_misconfigured(error):
            raise error
        delay = self._backoff.delay(self._failures)
        why = self._why(error)
        _log.warning("trying again", extra={"why": why, "in_seconds": round(delay, 2), "failures": self._failures})
        for check in checks:
            self.health.set(check, False, why)
        self._metrics.reconnects.labels(server).inc()
        self.health.beat()
        self._stop.wait(delay)
