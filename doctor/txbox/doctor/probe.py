"""Send one message the whole way: outbox, the relay that runs, Kafka, and back.

It goes to a topic of its own. That topic must not be deleted while a relay may still send to it: a missing topic stops
a relay. So the row goes first, and the topic only if every saved cursor was past the row, as in pruning: nobody will
ever read it again. Where that does not come to pass the topic stays, and is named.
"""

import time
from collections.abc import Callable
from typing import Any, Final, TypeVar
from uuid import UUID, uuid4

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka import Message as KafkaMessage
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from psycopg import Connection, sql
from psycopg.rows import scalar_row

from txbox.daemon import Database, Kafka, admin_settings, consumer_settings
from txbox.doctor.database import judge_clock, skew
from txbox.doctor.finding import Finding, fail, ok, warn
from txbox.outbox import Message, Outbox
from txbox.schema import Statements

__all__ = ["Probe"]

T = TypeVar("T")

#: seconds for an answer of the cluster
_PATIENCE: Final = 10.0


class Probe:
    """One message. `send` first; then `clock`, which reads what the broker has stamped on it."""

    def __init__(
        self, conn: Connection[Any], database: Database, kafka: Kafka, *, clock: Callable[[], float], patience: float
    ) -> None:
        self._conn, self._database, self._kafka = conn, database, kafka
        self._clock, self._patience = clock, patience
        self._statements = Statements(__package__, "doctor.sql", database.schema)
        self._admin = AdminClient(admin_settings(kafka))
        self._topic = f"txbox.doctor.{uuid4().hex[:12]}"
        #: by how many seconds the broker's clock differs from ours
        self._skew: float | None = None

    def send(self) -> Finding:
        """Send the message, wait for it, and clean up. Raises psycopg.Error, KafkaException; then nothing is left."""
        table = sql.Identifier(self._database.schema, "outbox").as_string(None)
        after = self._one("drawn", table=table)
        with self._conn.transaction(force_rollback=True):  # who may not clean up must not begin
            rehearsed = self._add()
            self._withdraw(self._one("seq", after=after, id=rehearsed), rehearsed)
        self._make_topic()
        began = self._clock()
        with self._conn.transaction():
            message = self._add()
        seq = self._one("seq", after=after, id=message)
        record = None
        try:
            record = self._receive(message)
        finally:
            took = self._clock() - began
            left = self._clean_up(seq, message)
        if record is None:
            return fail(
                f"the message did not come to Kafka within {self._patience:.0f} s{left}",
                "the relay's /readyz and its log say what it waits for",
            )
        self._skew = skew(record.timestamp()[1] / 1000, began, began + took)
        why = f"from the outbox to Kafka and back in {took * 1000:,.0f} ms"
        return warn(f"{why}{left}", f"kafka-topics --delete --topic {self._topic}, later") if left else ok(why)

    def clock(self) -> Finding:
        """Say whether the broker's clock is ours."""
        return judge_clock("the broker's", self._skew or 0.0) if self._skew is not None else fail("it told no time")

    def _add(self) -> UUID:
        message = Message("txbox.Probe", {"from": "txbox doctor"}, topic=self._topic, key="probe")
        return Outbox(schema=self._database.schema).add(self._conn, message)

    def _withdraw(self, seq: int, message: UUID) -> None:
        self._conn.execute(self._statements["withdraw"], {"seq": seq, "id": message})

    def _make_topic(self) -> None:
        """Make a topic whose records have the broker's time."""
        settings = {"message.timestamp.type": "LogAppendTime", "retention.ms": "3600000"}
        topic = NewTopic(self._topic, 1, -1, config=settings)
        self._admin.create_topics([topic], request_timeout=_PATIENCE)[self._topic].result(2 * _PATIENCE)

    def _receive(self, message: UUID) -> KafkaMessage | None:
        """Return the message's record, None if it does not come in time."""
        consumer = Consumer({**consumer_settings(self._kafka, group=self._topic, session_timeout=10), "log_level": 0})
        try:
            consumer.assign([TopicPartition(self._topic, 0, 0)])
            return _within(self._patience, lambda: _of(message, consumer.poll(0.2)))
        finally:
            consumer.close()

    def _clean_up(self, seq: int, message: UUID) -> str:
        """Delete the row and the topic; return what is left, to be said."""
        passed = _within(self._patience, lambda: self._is_done(seq))
        self._withdraw(seq, message)
        if not passed:
            return f"; topic {self._topic} is left, since a relay may still send to it"
        self._admin.delete_topics([self._topic], request_timeout=_PATIENCE)[self._topic].result(2 * _PATIENCE)
        return ""

    def _is_done(self, seq: int) -> bool:
        time.sleep(0.05)  # the relay saves its cursor ten times a second
        return bool(self._one("done", seq=seq))

    def _one(self, name: str, **parameters: object) -> Any:
        with self._conn.cursor(row_factory=scalar_row) as cursor:
            return cursor.execute(self._statements[name], parameters).fetchone()


def _of(message: UUID, record: KafkaMessage | None) -> KafkaMessage | None:
    if record is None or record.error() is not None:
        return None
    return record if ("id", str(message).encode()) in (record.headers() or []) else None


def _within(seconds: float, probe: Callable[[], T | None]) -> T | None:
    """Return the first true result; None when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (result := probe()):
        if time.monotonic() > deadline:
            return None
    return result
