"""Rows to Kafka: hands them to librdkafka, never waits for an ack, and says how far everything has arrived."""

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer

from txbox.daemon import Kafka, Meaning, meaning, producer_settings
from txbox.outbox.envelope import record_headers
from txbox.relay.batch import Batch, Room, Row
from txbox.relay.config import RelayConfig
from txbox.relay.errors import PublisherLost, Undeliverable
from txbox.relay.flights import Failure, Flight, Flights
from txbox.relay.topics import Topics

__all__ = ["Progress", "Publisher"]

#: bytes of a full batch, where every topic allows it
_BATCH_SIZE: Final = 1_000_000
#: a record batch of one record is at most this much larger than key, value and headers; generous
_OVERHEAD: Final = 512
#: what the ids, names and lengths of our own headers take at most
_HEADERS: Final = 512

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Progress:
    """What has happened since it was last asked."""

    #: batches that arrived, in order; with all before them
    landed: list[Flight]
    #: the first message that Kafka did not take
    failure: Failure | None


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
        self._compressed = kafka.client.get("compression.type", "none") != "none"
        #: whether the last that was admitted is a suspect
        self._trying = False
        self._fatal: KafkaError | None = None
        self._producer = self._make(_BATCH_SIZE)

    def check(self) -> None:
        """Return if a broker answers. Raises KafkaException."""
        self._producer.list_topics("__consumer_offsets", timeout=5)
        self._connected(True, "")

    def room(self) -> Room:
        """Return how much more may be sent."""
        return self._flights.room

    def admit(self, rows: Sequence[Row]) -> int:
        """Return how many of the rows, from the first on, may be sent now.

        Raises Undeliverable if the first may never be, TopicMissing, KafkaException.
        """
        self._topics.learn({row.topic for row in rows})
        if not self._fits(min(self._topics.limits[row.topic] for row in rows)):
            return 0
        if self._flights.messages and self._trying:
            return 0
        for n, row in enumerate(rows):
            if row.id in self._suspects:
                self._trying = n == 0
                return n or (0 if self._flights.messages else 1)
            if why := self._too_large(row):
                if n == 0:
                    raise Undeliverable(row.id, row.topic, why)
                return n
        return len(rows)

    def send(self, batch: Batch) -> None:
        """Hand a batch, which was admitted, to librdkafka. Raises Undeliverable, PublisherLost."""
        flight = self._flights.depart(batch.rows, batch.frontier)
        for row in batch.rows:
            self._produce(row, flight)

    def serve(self, seconds: float) -> None:
        """Take acks for `seconds`, or those that are there already if it is 0. Raises PublisherLost."""
        self._producer.poll(seconds)
        if self._fatal is not None:
            raise PublisherLost(self._fatal.str())

    def progress(self) -> Progress:
        """Return what arrived and what failed since the last call."""
        landed = self._flights.landed()
        if any(flight.topics for flight in landed):
            self._connected(True, "")
        return Progress(landed, self._flights.failure)

    @property
    def in_flight(self) -> int:
        """How many messages are not acked."""
        return self._flights.messages

    def close(self) -> None:
        """Give up what is not acked. It is published again after the saved cursor."""
        self._producer.purge(in_queue=True, in_flight=True, blocking=False)
        # flush's return is how many are left, not success: here it only lets the purge's reports be called.
        self._producer.flush(1.0)

    def _produce(self, row: Row, flight: Flight) -> None:
        headers = record_headers(row.id, row.type, row.headers)
        while True:
            try:
                self._producer.produce(
                    row.topic,
                    row.payload,
                    row.key,
                    headers=headers,
                    timestamp=row.created,
                    on_delivery=flight.delivered,
                )
            except BufferError:  # librdkafka's queue is full: let it work
                self._producer.poll(0.01)
            except KafkaException as exception:
                error: KafkaError = exception.args[0]
                if meaning(error) is Meaning.POISON:
                    raise Undeliverable(row.id, row.topic, error.str()) from exception
                raise PublisherLost(error.str()) from exception
            else:
                return

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

    def _too_large(self, row: Row) -> str | None:
        """Return why a topic would refuse a row. With compression only Kafka can tell."""
        size = len(row.payload or b"") + len(row.headers or "") + _HEADERS
        limit = self._topics.limits[row.topic]
        if self._compressed or size + _OVERHEAD < limit:  # a quick look, for nearly all rows
            return None
        size = _size(row)
        if size <= limit:
            return None
        return f"it takes {size:,} bytes, the topic's max.message.bytes is {limit:,}"

    def _make(self, batch_size: int) -> Producer:
        self._batch_size = batch_size
        settings: dict[str, Any] = producer_settings(
            self._kafka,
            batch_size=batch_size,
            in_flight=self._config.in_flight,
            in_flight_size=self._config.in_flight_size,
        )
        return Producer({**settings, "error_cb": self._on_error}, logger=_log)

    def _on_error(self, error: KafkaError) -> None:
        """librdkafka tells of trouble that belongs to no message."""
        if meaning(error) is Meaning.FATAL:
            self._fatal = error
        if error.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001  # librdkafka's own codes begin with _
            self._connected(False, "no broker answers; rows wait in the outbox")


def _size(row: Row) -> int:
    """Return the bytes of a record batch with this row alone: 61 of the batch, and up to 5 for each length in it."""
    headers = record_headers(row.id, row.type, row.headers)
    in_headers = sum(len(name.encode()) + len(value or b"") + 10 for name, value in headers)
    return 61 + 30 + len((row.key or "").encode()) + len(row.payload or b"") + in_headers
