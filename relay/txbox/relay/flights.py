"""What is on its way to Kafka, and how far everything has arrived: the acked prefix.

One counter a batch, no table of offsets: a batch's cursor may be saved when its counter and those of all batches
before it are at zero.
"""

import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from confluent_kafka import KafkaError, Message

from txbox.daemon import Meaning, meaning
from txbox.relay.batch import CREATED, ID, KEY, SIZE, TOPIC, Diverted, Room, Row
from txbox.relay.cursor import Frontier

__all__ = ["Failure", "Flight", "Flights"]


@dataclass(frozen=True, slots=True)
class Failure:
    """A message that Kafka did not take."""

    #: which one it was, or several of which it is one: a delivery report does not bring the headers
    message_ids: Sequence[str]
    topic: str
    error: KafkaError


class Flight:
    """One batch under way. `delivered` is librdkafka's callback, the same one for each of its messages.

    A callback of each message's own would know its id. But a hundred thousand would live at a time, and Python's
    garbage collector go through them again and again: a tenth of what a message costs.
    """

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
        self.size = sum(map(SIZE, rows))
        self.frontier = frontier
        #: rows to be written to outbox_held with the cursor
        self.hold = hold
        #: rows that are told to their traces when they have arrived
        self.traced: Sequence[Row] = ()
        #: for the metrics, and to know a message by: where each goes, and when it was written (milliseconds since 1970)
        self.topics = list(map(TOPIC, rows))
        self.created = list(map(CREATED, rows))
        self.keys = list(map(KEY, rows))
        self.ids = list(map(ID, rows))
        self._failed = failed

    def delivered(self, error: KafkaError | None, message: Message | None) -> None:
        """Count an ack. A message that failed is never counted: its batch does not arrive."""
        if error is None:
            self.left -= 1
        else:
            # Not `if message`: one without a payload is false. None: it came no further than librdkafka.
            topic = self.topics[0] if message is None else message.topic()
            self._failed(Failure(self._told_of(message), topic or "", error))

    def _told_of(self, message: Message | None) -> list[str]:
        """Return the ids of those messages that a report may speak of: it brings no headers to know one by."""
        if message is None:
            return self.ids
        return self._alike.get((message.topic(), message.key(), message.timestamp()[1]), self.ids)

    @cached_property
    def _alike(self) -> Mapping[tuple[str | None, bytes | str | None, int], list[str]]:
        """Ids by what a report brings. Made once: when a producer is closed, all that is under way fails together."""
        alike = defaultdict(list)
        for id_, topic, key, at in zip(self.ids, self.topics, self.keys, self.created, strict=True):
            alike[topic, None if key is None else key.encode(), at].append(id_)
        return alike

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
            self.refused.update(failure.message_ids)
