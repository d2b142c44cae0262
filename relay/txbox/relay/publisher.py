"""Rows to Kafka: hands them to librdkafka, never waits for an ack, and says how far everything has arrived."""

import logging
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer

from txbox.daemon import Kafka, Meaning, meaning, producer_settings
from txbox.daemon.librdkafka import LOGGER
from txbox.daemon.trust import distrusts, explain_kafka
from txbox.outbox.envelope import record_headers
from txbox.relay.batch import TOPIC, Batch, Diverted, Plan, Reason, Room, Row
from txbox.relay.config import RelayConfig
from txbox.relay.errors import AccessDenied, PublisherLost, RelayError, Undeliverable
from txbox.relay.flights import Failure, Flight, Flights
from txbox.relay.held import Key, divide, keys_of
from txbox.relay.topics import Topics
from txbox.relay.traces import traced

__all__ = ["Progress", "Publisher"]

#: bytes of a full batch, where every topic allows it
_BATCH_SIZE: Final = 1_000_000
#: seconds to wait for a broker that was away
_LOOK: Final = 1.0

#: what librdkafka calls when it knows what became of a message
Report = Callable[[KafkaError | None, Any], None]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Progress:
    """What has happened since it was last asked."""

    #: batches that arrived, in order; with all before them
    landed: list[Flight]
    #: the first message that Kafka did not take
    failure: Failure | None
    #: ids of those that it refused, the bad and their neighbours: a record batch is taken or refused as a whole
    refused: Collection[str] = ()
    #: whether what failed was put aside, so that it stands in nobody's way
    held: bool = False


class Publisher:
    """One producer, from the start of a term to its end.

    `suspects` are ids of messages that Kafka refused in an earlier term, and topics to which nothing was sent: each
    of these messages, and the first of such a topic, is produced alone, after everything before it was acked, so that
    trying it again repeats nothing else. Once it has arrived it is no suspect any more. Rows of a key that is `held`
    are diverted; a set that grows here, and shrinks where held rows leave.
    """

    def __init__(
        self,
        kafka: Kafka,
        config: RelayConfig,
        suspects: set[str] | None = None,
        held: set[Key] | None = None,
        connected: Callable[[bool, str], None] = lambda _ok, _why: None,
    ) -> None:
        self._kafka, self._config = kafka, config
        self._suspects = set() if suspects is None else suspects
        self._connected = connected
        self._flights = Flights(Room(config.in_flight, config.in_flight_size))
        self._topics = Topics(kafka, config)
        self._held = set() if held is None else held
        #: whether the last that was admitted is a suspect; and the last suspect that was sent
        self._trying = False
        self._suspect: tuple[Row, Flight] | None = None
        self._fatal: KafkaError | None = None
        #: the last that was heard of a connection
        self._trouble: KafkaError | None = None
        #: why no broker and we trust each other
        self._distrusted = ""
        #: whether no broker answered, the last that was heard
        self._away = False
        self._producer = self._make(_BATCH_SIZE)

    def check(self) -> None:
        """Return if a broker answers. Raises KafkaException, AccessDenied, PublisherLost."""
        try:
            self._producer.list_topics("__consumer_offsets", timeout=5)
        except KafkaException:
            self.serve(0)
            if self._trouble is None:
                raise
            # "transport failure" is all that the answer says
            raise KafkaException(explain_kafka(self._trouble, self._settings)) from None
        self._is_there()

    def room(self) -> Room:
        """Return how much more may be sent."""
        return self._flights.room

    def admit(self, rows: Sequence[Row]) -> Plan:
        """Return what becomes of the rows, from the first on, as far as that can be said now.

        Raises Undeliverable, TopicMissing or AccessDenied if the first may not be sent at all, and all before it have
        arrived: they would be sent again each time that it is tried. Raises KafkaException.
        """
        topics = set(map(TOPIC, rows))
        self._topics.learn(topics)
        if self._flights.messages and self._trying:
            return Plan()
        if not self._fits(self._topics.least(topics, _BATCH_SIZE)):
            return Plan()
        self._trying = False
        # True of nearly every batch.
        if not self._held and not self._suspects and self._topics.take_all(rows, topics):
            return Plan(rows, (), len(rows))
        plan = divide(
            rows,
            held=self._held,
            obstacle=self._topics.obstacle,
            suspects=self._suspects,
            idle=not self._flights.messages,
            holds=self._config.on_undeliverable == "hold",
        )
        if plan.obstacle and not plan.taken and not self._flights.messages:
            raise plan.obstacle
        if self._suspects and plan.hold:
            held = {diverted.seq for diverted in plan.hold}
            self._suspects -= {row.id for row in rows if row.seq in held}
        self._trying = bool(plan.send) and not self._suspects.isdisjoint((plan.send[0].id, plan.send[0].topic))
        return plan

    def send(self, batch: Batch) -> None:
        """Hand a batch, which was admitted, to librdkafka. Raises Undeliverable, AccessDenied, PublisherLost."""
        flight = self._flights.depart(batch.rows, batch.frontier, batch.hold)
        self._held |= keys_of(batch.hold)
        flight.traced = traced(batch.rows)
        if batch.rows:
            self._suspect = (batch.rows[0], flight) if self._trying else None
        produce, delivered = self._producer.produce, flight.delivered
        # The hot loop: 100,000 times a second, hence no call and no attribute that could be spared.
        for row in batch.rows:
            _, topic, key, id_, type_, payload, headers, created, _, _ = row
            try:
                # By position: names would make a dict for each message.
                produce(topic, payload, key, -1, delivered, None, created, record_headers(id_, type_, headers))
            except (BufferError, KafkaException) as error:
                self._produce_again(row, delivered, error, alone=self._trying)

    def examine(self, rows: Sequence[Row]) -> dict[int, str]:
        """Return why rows may not be sent, by seq; their topics are looked up anew. Raises KafkaException."""
        topics = set(map(TOPIC, rows))
        self._topics.forget(topics)
        self._topics.learn(topics)
        found = {row.seq: self._topics.obstacle(row) for row in rows}
        return {seq: obstacle.why for seq, obstacle in found.items() if obstacle is not None}

    def deliver(self, rows: Sequence[Row], wait: Callable[[], bool]) -> dict[int, KafkaError | None]:
        """Send rows that were examined while nothing is under way, and return what Kafka said to each, by seq.

        Waits for the answers for as long as `wait` says so; a row without one may be on the log or not.
        Raises AccessDenied, PublisherLost.
        """
        self._fits(self._topics.least({row.topic for row in rows}, _BATCH_SIZE))
        answers: dict[int, KafkaError | None] = {}

        def answered(seq: int, error: KafkaError | None, _message: object) -> None:
            answers[seq] = error

        for row in rows:
            try:
                self._produce(row, partial(answered, row.seq))
            except (BufferError, KafkaException) as error:
                self._produce_again(row, partial(answered, row.seq), error, alone=True)
        while len(answers) < len(rows) and wait():
            self.serve(0.05)
        return answers

    def serve(self, seconds: float) -> None:
        """Take acks for `seconds`, or those that are there already if it is 0. Raises AccessDenied, PublisherLost."""
        try:
            self._producer.poll(seconds)
        except KafkaException as error:  # some releases raise a fatal error here as well
            raise _lost(error.args[0]) from error
        if self._fatal is not None:
            raise _lost(self._fatal)
        if self._distrusted:  # a new one reads certificates and passwords anew
            raise PublisherLost(f"no broker answers{self._distrusted}")
        if self._away and not self._flights.messages:
            self._look_again()

    def progress(self) -> Progress:
        """Return what arrived and what failed since the last call."""
        failure = self._flights.failure
        refused = () if failure is not None and self._knows_better(failure) else self._flights.refused
        held = failure is not None and self._put_aside(failure)
        landed = self._flights.landed()
        if any(flight.topics for flight in landed):
            self._is_there()
        if self._suspect is not None and self._suspect[1] in landed:
            self._suspects -= {self._suspect[0].id, self._suspect[0].topic}
        return Progress(landed, failure, refused, held)

    @property
    def in_flight(self) -> int:
        """How many messages are not acked."""
        return self._flights.messages

    @property
    def waited(self) -> float:
        """Seconds for which the oldest message has waited for its ack."""
        return self._flights.waited

    def close(self) -> None:
        """Give up what is not acked. It is published again after the saved cursor."""
        with suppress(KafkaException):  # a fatal error is raised here too, and would hide the one that ended the term
            self._producer.purge(in_queue=True, in_flight=True, blocking=False)
            # flush's return is how many are left, not success: here it only lets the purge's reports be called.
            self._producer.flush(1.0)

    def _produce(self, row: Row, report: Report) -> None:
        headers = record_headers(row.id, row.type, row.headers)
        self._producer.produce(
            row.topic, row.payload, row.key, headers=headers, timestamp=row.created, on_delivery=report
        )

    def _produce_again(self, row: Row, report: Report, error: BufferError | KafkaException, *, alone: bool) -> None:
        """Produce a row when librdkafka's queue, which was full, has room again; raise what else was wrong.

        A refusal is reported where Kafka's own would be, if nothing is to be kept back for it: the row is `alone`.
        """
        while isinstance(error, BufferError):
            self.serve(0.01)
            try:
                self._produce(row, report)
            except (BufferError, KafkaException) as again:
                error = again
            else:
                return
        reason: KafkaError = error.args[0]
        if meaning(reason) is not Meaning.POISON:
            self.serve(0)  # which tells what the error that ended the producer was
            raise _lost(reason) from error
        if alone:
            report(reason, None)
        else:
            raise Undeliverable(row.id, row.topic, reason.str()) from error

    def _knows_better(self, failure: Failure) -> bool:
        """Return whether the next term will know beforehand what is refused now, and need not try each message alone.

        A batch that is too large for a topic whose limit was lowered says nothing of any one of its messages.
        """
        return failure.error.code() == KafkaError.MSG_SIZE_TOO_LARGE and not self._topics.compressed

    def _put_aside(self, failure: Failure) -> bool:
        """Hold the message that failed, if the policy is so and it was alone: then Kafka refused it and no other."""
        holds = self._config.on_undeliverable == "hold"
        if self._suspect is None or not holds or meaning(failure.error) is not Meaning.POISON:
            return False
        row, flight = self._suspect
        flight.divert(Diverted(row.seq, row.topic, row.key, Reason.REFUSED, failure.error.str()))
        self._held |= keys_of([row])
        self._flights.forgive()
        return True

    def _fits(self, limit: int) -> bool:
        """Keep record batches below a topic's limit; False while an older producer still has messages under way.

        Kafka judges a batch, not a message: where a batch of a million bytes is too large, all of it is refused,
        however small its messages are.
        """
        if limit >= self._batch_size:
            return True
        if self._flights.messages:
            return False
        self._producer = self._make(limit)
        return True

    def _make(self, batch_size: int) -> Producer:
        self._batch_size = batch_size
        settings: dict[str, Any] = producer_settings(
            self._kafka,
            batch_size=batch_size,
            in_flight=self._config.in_flight,
            in_flight_size=self._config.in_flight_size,
        )
        self._settings = settings
        return Producer({**settings, "error_cb": self._on_error}, logger=LOGGER)

    def _on_error(self, error: KafkaError) -> None:
        """librdkafka tells of trouble that belongs to no message."""
        if meaning(error) is Meaning.FATAL:
            self._fatal = error
        elif error.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001  # librdkafka's own codes begin with _
            self._away = True
            self._trouble = self._trouble or error
            last = f" ({explain_kafka(self._trouble, self._settings)})"
            self._connected(False, f"no broker answers{last}; rows wait in the outbox")
            if distrusts(self._trouble):
                self._distrusted = last
        else:
            self._trouble = error

    def _look_again(self) -> None:
        """Ask for a broker: librdkafka tells when all are away, and of their return only acks do, if there are any."""
        try:
            self._producer.list_topics("__consumer_offsets", timeout=_LOOK)
        except KafkaException:
            return
        self._is_there()

    def _is_there(self) -> None:
        self._away, self._trouble = False, None
        self._connected(True, "")


def _lost(error: KafkaError) -> RelayError:
    """Return what to tell of an error that ended the producer."""
    if error.code() == KafkaError.CLUSTER_AUTHORIZATION_FAILED:
        return AccessDenied(None, error.str())
    return PublisherLost(error.str())
