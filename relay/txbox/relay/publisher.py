"""Rows to Kafka: hands them to librdkafka, never waits for an ack, and says how far everything has arrived."""

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer

from txbox.daemon import Kafka, Meaning, meaning, producer_settings
from txbox.daemon.librdkafka import LOGGER
from txbox.outbox.envelope import record_headers
from txbox.relay.batch import Batch, Room, Row
from txbox.relay.config import RelayConfig
from txbox.relay.errors import PublisherLost, TopicMissing, Undeliverable
from txbox.relay.flights import Failure, Flight, Flights
from txbox.relay.topics import Topics

__all__ = ["Progress", "Publisher"]

#: bytes of a full batch, where every topic allows it
_BATCH_SIZE: Final = 1_000_000
#: what a record batch of one record takes beyond the row's own bytes, at most: our headers, lengths, the batch's own
_HEADERS: Final = 1024

#: seconds to wait for a broker that was away
_LOOK: Final = 1.0
#: the setting's two names
_COMPRESSION: Final = ("compression.type", "compression.codec")

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


class Publisher:
    """One producer, from the start of a term to its end.

    `suspects` are ids of messages that Kafka refused in an earlier term: each is produced alone, after everything
    before it was acked, so that trying it again repeats nothing else.
    """

    def __init__(
        self,
        kafka: Kafka,
        config: RelayConfig,
        suspects: Collection[str] = (),
        connected: Callable[[bool, str], None] = lambda _ok, _why: None,
    ) -> None:
        self._kafka, self._config = kafka, config
        self._suspects = suspects
        self._connected = connected
        self._flights = Flights(Room(config.in_flight, config.in_flight_size))
        self._topics = Topics(kafka, config)
        self._compressed = any(kafka.client.get(name, "none") != "none" for name in _COMPRESSION)
        #: whether the last that was admitted is a suspect
        self._trying = False
        self._fatal: KafkaError | None = None
        #: whether no broker answered, the last that was heard
        self._away = False
        self._producer = self._make(_BATCH_SIZE)

    def check(self) -> None:
        """Return if a broker answers. Raises KafkaException."""
        self._producer.list_topics("__consumer_offsets", timeout=5)
        self._is_there()

    def room(self) -> Room:
        """Return how much more may be sent."""
        return self._flights.room

    def admit(self, rows: Sequence[Row]) -> int:
        """Return how many of the rows, from the first on, may be sent now.

        Raises Undeliverable or TopicMissing if the first may not be sent at all, and all before it have arrived: they
        would be sent again each time that it is tried. Raises KafkaException.
        """
        topics = {row.topic for row in rows}
        self._topics.learn(topics)
        limits = self._topics.limits
        if self._flights.messages and self._trying:
            return 0
        if not self._fits(min((limits[topic] for topic in topics & limits.keys()), default=_BATCH_SIZE)):
            return 0
        # One look at all of them together is enough for nearly every batch.
        if topics <= limits.keys() and not self._suspects:
            largest = max(row.size for row in rows) + _HEADERS
            if self._compressed or largest < min(limits[topic] for topic in topics):
                return len(rows)
        for n, row in enumerate(rows):
            if obstacle := self._obstacle(row):
                if n == 0 and not self._flights.messages:
                    raise obstacle
                return n
            if row.id in self._suspects:
                self._trying = n == 0
                return n or (0 if self._flights.messages else 1)
        return len(rows)

    def send(self, batch: Batch) -> None:
        """Hand a batch, which was admitted, to librdkafka. Raises Undeliverable, PublisherLost."""
        flight = self._flights.depart(batch.rows, batch.frontier)
        produce, delivered = self._producer.produce, flight.delivered
        # The hot loop: 100,000 times a second, hence no call and no attribute that could be spared.
        for row in batch.rows:
            _, topic, key, id_, type_, payload, headers, created, _ = row
            try:
                produce(
                    topic,
                    payload,
                    key,
                    headers=record_headers(id_, type_, headers),
                    timestamp=created,
                    # A delivery report has no headers to know the message by.
                    on_delivery=partial(delivered, id_),
                )
            except (BufferError, KafkaException) as error:
                self._produce_again(row, flight, error)

    def serve(self, seconds: float) -> None:
        """Take acks for `seconds`, or those that are there already if it is 0. Raises PublisherLost."""
        self._producer.poll(seconds)
        if self._fatal is not None:
            raise PublisherLost(self._fatal.str())
        if self._away and not self._flights.messages:
            self._look_again()

    def progress(self) -> Progress:
        """Return what arrived and what failed since the last call."""
        landed = self._flights.landed()
        if any(flight.topics for flight in landed):
            self._is_there()
        return Progress(landed, self._flights.failure, self._flights.refused)

    @property
    def in_flight(self) -> int:
        """How many messages are not acked."""
        return self._flights.messages

    def close(self) -> None:
        """Give up what is not acked. It is published again after the saved cursor."""
        self._producer.purge(in_queue=True, in_flight=True, blocking=False)
        # flush's return is how many are left, not success: here it only lets the purge's reports be called.
        self._producer.flush(1.0)

    def _produce_again(self, row: Row, flight: Flight, error: BufferError | KafkaException) -> None:
        """Produce a row when librdkafka's queue, which was full, has room again; raise what else was wrong."""
        while isinstance(error, BufferError):
            self._producer.poll(0.01)
            try:
                headers = record_headers(row.id, row.type, row.headers)
                delivered = partial(flight.delivered, row.id)
                self._producer.produce(
                    row.topic, row.payload, row.key, headers=headers, timestamp=row.created, on_delivery=delivered
                )
            except (BufferError, KafkaException) as again:
                error = again
            else:
                return
        reason: KafkaError = error.args[0]
        if meaning(reason) is Meaning.POISON:
            raise Undeliverable(row.id, row.topic, reason.str()) from error
        raise PublisherLost(reason.str()) from error

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

    def _obstacle(self, row: Row) -> Undeliverable | TopicMissing | None:
        """Return why a row may not be sent. How large it is with compression only Kafka can tell."""
        limit = self._topics.limits.get(row.topic)
        if limit is None:
            if row.topic in self._topics.impossible:
                return Undeliverable(row.id, row.topic, "Kafka allows no topic of this name")
            return TopicMissing(row.topic)
        size = _size(row)
        if self._compressed or size <= limit:
            return None
        return Undeliverable(row.id, row.topic, f"it takes {size:,} bytes, the topic's max.message.bytes is {limit:,}")

    def _make(self, batch_size: int) -> Producer:
        self._batch_size = batch_size
        settings: dict[str, Any] = producer_settings(
            self._kafka,
            batch_size=batch_size,
            in_flight=self._config.in_flight,
            in_flight_size=self._config.in_flight_size,
        )
        return Producer({**settings, "error_cb": self._on_error}, logger=LOGGER)

    def _on_error(self, error: KafkaError) -> None:
        """librdkafka tells of trouble that belongs to no message."""
        if meaning(error) is Meaning.FATAL:
            self._fatal = error
        if error.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001  # librdkafka's own codes begin with _
            self._away = True
            self._connected(False, "no broker answers; rows wait in the outbox")

    def _look_again(self) -> None:
        """Ask for a broker: librdkafka tells when all are away, and of their return only acks do, if there are any."""
        try:
            self._producer.list_topics("__consumer_offsets", timeout=_LOOK)
        except KafkaException:
            return
        self._is_there()

    def _is_there(self) -> None:
        self._away = False
        self._connected(True, "")


def _size(row: Row) -> int:
    """Return the bytes of a record batch with this row alone: 61 of the batch, and up to 5 for each length in it."""
    headers = record_headers(row.id, row.type, row.headers)
    in_headers = sum(len(name.encode()) + len(value or b"") + 10 for name, value in headers)
    return 61 + 30 + len((row.key or "").encode()) + len(row.payload or b"") + in_headers
