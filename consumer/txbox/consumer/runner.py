"""The daemon: join the group, connect, handle, reconnect."""

import logging
import time
from contextlib import closing
from typing import Final

import psycopg
from confluent_kafka import KafkaException
from prometheus_client import CollectorRegistry

from txbox.consumer.broker import Broker
from txbox.consumer.config import ConsumerConfig
from txbox.consumer.consumer import Consumer
from txbox.consumer.dead_letters import check
from txbox.consumer.guard import GuardedConnection
from txbox.consumer.loop import Disconnected, Loop, alive
from txbox.consumer.metrics import ConsumerMetrics
from txbox.consumer.transactions import Transactions
from txbox.consumer.troubles import Troubles
from txbox.consumer.verdicts import of_driver
from txbox.daemon import Backoff, Database, Health, Kafka, Stop, connect, consumer_settings
from txbox.daemon.kafka import is_misconfigured, told
from txbox.schema import require

__all__ = ["Runner"]

#: Offsets are committed after COMMIT: what it acknowledged must survive a crash, or its messages are lost.
_ON_DISK: Final = """
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'
"""

_log = logging.getLogger(__name__)


class Runner:
    """Runs one consumer: each message's effect in the database once, for as long as ids stay in the inbox.

    Any number of them may run; Kafka shares the partitions out. `health` and `registry` are what a daemon serves.
    """

    def __init__(
        self,
        consumer: Consumer,
        database: Database,
        kafka: Kafka,
        config: ConsumerConfig | None = None,
        *,
        registry: CollectorRegistry | None = None,
        stop: Stop | None = None,
    ) -> None:
        """Raises UnfitTemplate."""
        self._consumer, self._database, self._kafka = consumer, database, kafka
        self._config = config or ConsumerConfig()
        if self._config.dead_letter_topic:
            check(self._config.dead_letter_topic, consumer.name, consumer.topics)
        self.registry = registry or CollectorRegistry()
        self.health = Health("database", "kafka", "topics", "handlers", role="consumer")
        self._metrics = ConsumerMetrics(consumer.name, self.registry)
        self._stop = stop or Stop()
        self._backoff = Backoff(first=0.1, cap=10.0)
        self._failures = 0
        self._troubles = Troubles(time.monotonic)

    def stop(self) -> None:
        """Ask `run` to end after the batch under way. From any thread."""
        self._stop.request()

    def run(self, *, once: bool = False) -> None:
        """Handle messages until stopped; `once` handles what is there at the start, and returns.

        A message whose handler raises is held and tried again, and those behind it in its key wait; with `once` it is
        left so. Kafka or Postgres away is waited out, but not with `once`. Raises TransactionLeft, SchemaError,
        RefusedSetting; with `once` Outage, HeldFull, psycopg.Error and KafkaException too. No message is lost by any.
        """
        while not self._stop.requested:
            try:
                with closing(self._join(once=once)) as broker:
                    broker.check()
                    self._stay(broker, once=once)
                return
            except KafkaException as error:
                if once:
                    raise
                self._survive("kafka", error)
                self._stop.wait(self._backoff.delay(self._failures))

    def _stay(self, broker: Broker, *, once: bool) -> None:
        """Handle messages as one member of the group, over any number of connections to the database."""
        while not self._stop.requested:
            try:
                with closing(self._connect()) as conn:
                    self._metrics.schema_version.set(require(conn, self._database.schema))
                    self._ready()
                    with closing(self._transactions(conn)) as transactions:
                        self._loop(broker, conn, transactions, once=once)
                return
            except (psycopg.Error, Disconnected) as error:
                if once and not isinstance(error, Disconnected):  # else it is there, or will not be connected to
                    raise
                self._survive("database", error)
                broker.wait(self._backoff.delay(self._failures), alive(self.health, self._stop))

    def _loop(self, broker: Broker, conn: GuardedConnection, transactions: Transactions, *, once: bool) -> None:
        loop = Loop(
            self._consumer,
            broker,
            conn,
            self._database.schema,
            config=self._config,
            health=self.health,
            metrics=self._metrics,
            troubles=self._troubles,
            transactions=transactions,
        )
        try:
            loop.run(self._stop, once=once)
        finally:
            self._failures = 0 if loop.progressed else self._failures

    def _transactions(self, conn: GuardedConnection) -> Transactions:
        try:
            return self._consumer.transactions(conn)
        except Exception as error:  # a framework's own, for a connection that is lost
            if (cause := of_driver(error)) is not None:
                raise cause from error
            raise

    def _join(self, *, once: bool) -> Broker:
        settings = consumer_settings(
            self._kafka,
            group=self._consumer.name,
            session_timeout=self._config.session_timeout,
            instance_id=self._config.instance_id,
        )
        return Broker(settings, self._consumer.topics, self.health.set, until_end=once)

    def _connect(self) -> GuardedConnection:
        # A process that is frozen in the middle of a batch holds ids that its successor waits for: PostgreSQL ends
        # its session once it has been silent for longer than any handler may take.
        silent = str(int((self._config.handler_timeout + 5) * 1000))
        settings = {"idle_in_transaction_session_timeout": silent, "default_transaction_isolation": "read committed"}
        conn = connect(GuardedConnection, self._database, f"consumer {self._consumer.name}", settings)
        conn.execute(_ON_DISK)
        conn.patience = max(conn.patience, self._config.handler_timeout + 5)  # a handler may set its own limits
        return conn

    def _ready(self) -> None:
        self.health.set("database", True)
        self.health.set("handlers", True)

    def _survive(self, check: str, error: Exception) -> None:
        """Note an error that is waited out."""
        self._failures += 1
        if is_misconfigured(error):
            raise error
        why = told(error.__cause__ or error)
        _log.warning("trying again", extra={"why": why, "failures": self._failures})
        self.health.set(check, False, why)
        self.health.beat()
