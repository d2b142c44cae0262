"""What is on its way to Kafka, and how far everything has arrived: the acked prefix.

One counter a batch, no table of offsets: a batch's cursor may be saved when its counter and those of all batches
before it are at zero.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from confluent_kafka import KafkaError, Message

from txbox.daemon import Meaning, meaning
from txbox.relay.batch import Diverted, Room, Row
from txbox.relay.cursor import Frontier

__all__ = ["Failure", "Flight", "Flights"]


@dataclass(frozen=True, slots=True)
class Failure:
    """A message that Kafka did not take."""

    message_id: str
    topic: str
    error: KafkaError


class Flight:
    """One batch under way. `delivered` is librdkafka's callback for each of its messages."""

    __slots__ = ("_failed", "created", "departed", "frontier", "hold", "left", "messages", "size", "topics")

    def __init__(
        self,
        rows: Sequence[Row],
        frontier: Frontier,
        failed: Callable[[Failure], None],
        hold: Sequence[Diverted] = (),
    ) -> None:
        self.messages = self.left = len(rows)
        #: monotonic seconds
        self.departed = time.monotonic()
        self.size = sum(row.size for row in rows)
        self.frontier = frontier
        #: rows to be written to outbox_held with the cursor
        self.hold = hold
        #: for the metrics: when each row was written (milliseconds since 1970), and where it goes
        self.created = [row.created for row in rows]
        self.topics = [row.topic for row in rows]
        self._failed = failed

    def delivered(self, message_id: str, error: KafkaError | None, message: Message | None) -> None:
        """Count an ack. A message that failed is never counted: its batch does not arrive."""
        if error is None:
            self.left -= 1
        else:
            # Not `if message`: one without a payload is false. None: it came no further than librdkafka.
            topic = None if message is None else message.topic()
            self._failed(Failure(message_id, topic or "", error))

    def divert(self, row: Diverted) -> None:
        """Hold the flight's one message, which Kafka refused, and count it as arrived."""
        self.left, self.hold, self.topics, self.created = 0, (row,), [], []


class Flights:
    """All batches under way, in order. What a batch takes of the room it keeps until all before it have arrived too."""

    def __init__(self, room: Room) -> None:
        self._flying: deque[Flight] = deque()
        self._messages, self._size = room
        #: messages under way
        self.messages = 0
        #: the first failure, if there was one
        self.failure: Failure | None = None
        #: ids of all messages that were refused for what they are, or for what stood beside them in a record batch
        self.refused: set[str] = set()

    def depart(self, rows: Sequence[Row], frontier: Frontier, hold: Sequence[Diverted] = ()) -> Flight:
        """Note a batch that is about to be produced; an empty one only carries its cursor and what is to be held."""
        flight = Flight(rows, frontier, self._fail, hold)
        self._flying.append(flight)
        self.messages += len(rows)
        self._size -= flight.size
        return flight

    def landed(self) -> list[Flight]:
        """Take out and return the batches that have arrived, up to the first that has not."""
        arrived: list[Flight] = []
        while self._flying and self._flying[0].left == 0:
            flight = self._flying.popleft()
            self.messages -= flight.messages
            self._size += flight.size
            arrived.append(flight)
        return arrived

    def forgive(self) -> None:
        """Forget what failed: it was held."""
        self.failure = None
        self.refused.clear()

    @property
    def waited(self) -> float:
        """Seconds since the oldest batch that has not arrived was produced, 0 if there is none."""
        return time.monotonic() - self._flying[0].departed if self._flying else 0.0

    @property
    def room(self) -> Room:
        """How much more may depart."""
        return Room(self._messages - self.messages, self._size)

    def _fail(self, failure: Failure) -> None:
        self.failure = self.failure or failure
        if meaning(failure.error) is Meaning.POISON:
            self.refused.add(failure.message_id)
