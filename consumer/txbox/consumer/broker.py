"""Records from Kafka, and their offsets back to it: all that the consumer's loop knows of the broker."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, cast

from confluent_kafka import Consumer as KafkaConsumer
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as KafkaMessage

from txbox.consumer.received import Record
from txbox.daemon import Meaning, meaning
from txbox.daemon.librdkafka import LOGGER
from txbox.daemon.trust import distrusts, explain_kafka

__all__ = ["Broker", "BrokerLost", "Lag"]

#: seconds that an empty fetch waits
_PATIENCE: Final = 0.05
#: messages that librdkafka fetches ahead: enough for the largest batch, little enough to be dropped at a rebalance
_AHEAD: Final = 20_000

#: seconds between polls, while there are records that were put back
_POLL_EVERY: Final = 0.5

#: seconds that partitions which were paused have to send something
_GATHER: Final = 0.25

#: seconds to wait for a broker that was away
_LOOK: Final = 1.0

#: seconds after which offsets that Kafka has not confirmed are committed again
_COMMIT_AGAIN: Final = 1.0

_log = logging.getLogger(__name__)

#: (topic, partition, messages behind the end)
Lag = tuple[str, int, int]

Told = Callable[[str, bool, str], None]


class BrokerLost(KafkaException):
    """The client cannot go on; a new one joins the group and begins after the committed offsets."""


class Broker:
    """A member of the consumer group. One thread: rebalances happen inside `fetch` and `wait`, never within a batch.

    `tell(check, ok, why)` is told how Kafka and the topics stand. `until_end` notes where the partitions end when they
    are assigned, for `caught_up`.
    """

    def __init__(self, settings: dict[str, Any], topics: Sequence[str], tell: Told, *, until_end: bool = False) -> None:
        self._tell = tell
        self._until_end = until_end
        self._settings = settings
        #: why the client cannot go on
        self._fatal: KafkaError | str | None = None
        #: the last that was heard of a connection
        self._trouble: KafkaError | None = None
        #: whether no broker answered, the last that was heard
        self._away = False
        #: records that were put back, or came while the partitions were paused; before all that Kafka has
        self._waiting: deque[Record] = deque()
        self._assigned: set[tuple[str, int]] = set()
        #: for `caught_up`: the offsets at which the assigned partitions ended when they were assigned
        self._ends: dict[tuple[str, int], int] = {}
        #: where what is settled ends, by partition
        self._settled: dict[tuple[str, int], int] = {}
        #: of that, what Kafka has not confirmed: in a rebalance, or without its coordinator, it takes no offsets
        self._unconfirmed: dict[tuple[str, int], int] = {}
        self._commit_due = 0.0
        #: whether the group has given us what is ours, be it nothing
        self._joined = False
        self._paused = False
        self._polled = 0.0
        ours = {"queued.min.messages": _AHEAD, "error_cb": self._on_error, "on_commit": self._on_commit}
        self._kafka = KafkaConsumer({**ours, **settings}, logger=LOGGER)
        self._kafka.subscribe(list(topics), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost)

    def check(self) -> None:
        """Return if a broker answers. Raises KafkaException."""
        try:
            self._kafka.list_topics("__consumer_offsets", timeout=5)
        except KafkaException:
            self._poll()
            if self._trouble is None:
                raise
            raise KafkaException(explain_kafka(self._trouble, self._settings)) from None
        self._is_there()

    def fetch(self, most: int) -> list[Record]:
        """Return up to `most` records in the order of their partitions; none after a short wait. Raises BrokerLost."""
        if self._waiting:
            # A poll now and then, for rebalances. Not each time, and without a pause: what was fetched ahead would be
            # dropped, and come over the network again.
            if time.monotonic() - self._polled > _POLL_EVERY:
                self._poll()
            return [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
        return self._next(most, _PATIENCE)

    def gather(self, most: int) -> None:
        """Take up to `most` more records in, behind those that wait. Raises BrokerLost."""
        records = self._next(most, _GATHER)
        # A rebalance in there dropped what waited; what was fetched just before it would pass the others of its key.
        self._waiting.extend(r for r in records if (r.topic, r.partition) in self._assigned)

    def waiting(self) -> Sequence[Record]:
        """Return what was put back or gathered, in order, and leave it there."""
        return tuple(self._waiting)

    def put_back(self, records: Sequence[Record]) -> None:
        """Take records back, to be fetched again before all others, unless their partition is revoked.

        It may be revoked already: a fetch hands out what it has when that happens in the middle of it.
        """
        self._waiting.extendleft(r for r in reversed(records) if (r.topic, r.partition) in self._assigned)

    def wait(self, seconds: float, stopped: Callable[[float], bool]) -> None:
        """Let time pass as a member of the group: partitions are paused, heartbeats and rebalances go on.

        `stopped(seconds)` sleeps, and returns whether to end the wait. Raises BrokerLost.
        """
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and not stopped(min(left, _PATIENCE)):
            self._turn()

    def done(self, records: Sequence[Record]) -> None:
        """Commit the offsets after these records, in the background: a crash before repeats, and the inbox knows."""
        ends = {(record.topic, record.partition): record.offset + 1 for record in records}
        mine = {place: offset for place, offset in ends.items() if place in self._assigned}
        self._settled |= mine
        self._unconfirmed |= mine
        self._commit()

    def caught_up(self) -> bool:
        """Return whether all that was there when the partitions were assigned has been fetched and settled."""
        if not self._joined or self._waiting:
            return False
        positions = self._kafka.position([TopicPartition(*place) for place in self._ends])
        return all(max(p.offset, 0) >= self._ends[p.topic, p.partition] or self._empty(p) for p in positions)

    def lag(self) -> list[Lag]:
        """Return how far what is settled is behind the end of each assigned partition.

        Not what is fetched: a batch that fails again and again was fetched long ago. Ends are those that librdkafka has
        heard of without asking; empty when Kafka does not answer.
        """
        if new := [TopicPartition(*place) for place in sorted(self._assigned - self._settled.keys())]:
            try:
                found = self._kafka.committed(new, timeout=_LOOK)
            except KafkaException:
                return []
            for committed in found:
                self._settled[committed.topic, committed.partition] = committed.offset  # negative: none
        lags: list[Lag] = []
        for place in sorted(self._assigned):
            low, high = self._kafka.get_watermark_offsets(TopicPartition(*place), cached=True)
            if high >= 0:
                lags.append((*place, max(high - max(self._settled[place], low, 0), 0)))
        return lags

    @property
    def partitions(self) -> int:
        """How many partitions are assigned."""
        return len(self._assigned)

    def close(self) -> None:
        """Commit what is settled and leave the group."""
        self._commit_and_wait(self._unconfirmed)
        self._kafka.close()

    def _next(self, most: int, patience: float) -> list[Record]:
        self._resume()
        self._polled = time.monotonic()
        # A wait for one, then whatever is there: `consume(n, timeout)` would wait for all n.
        first = self._kafka.poll(patience)
        messages = [] if first is None else [first, *(self._kafka.consume(most - 1, 0) if most > 1 else ())]
        records = self._records(messages)
        self._raise_if_lost()
        if self._away:
            self._look_again()
        elif self._unconfirmed and time.monotonic() >= self._commit_due:
            self._commit()
        return records

    def _empty(self, position: TopicPartition) -> bool:
        """Return whether nothing is left in a partition between the committed offset and the end it had."""
        committed = self._kafka.committed([TopicPartition(position.topic, position.partition)], timeout=5)[0].offset
        low, _ = self._kafka.get_watermark_offsets(position, cached=True)
        return max(committed, low, 0) >= self._ends[position.topic, position.partition]

    def _records(self, messages: Sequence[KafkaMessage]) -> list[Record]:
        records = []
        for message in messages:
            error = message.error()
            if error is None:
                records.append(_record(message))
            elif meaning(error) is Meaning.FATAL:  # e.g. another member took this one's instance id
                self._fatal = error
            elif error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED):
                self._miss(f"topic {message.topic()}: {error.str()}", error)
            else:
                _log.warning("kafka", extra={"why": error.str()})
        return records

    def _miss(self, why: str, error: KafkaError) -> None:
        """Note a topic that is not there, or not for us. Raises BrokerLost if it was to be read to its end."""
        _log.warning("a topic is missing", extra={"why": why})
        self._tell("topics", False, why)
        if self._until_end:
            raise BrokerLost(error)

    def _turn(self) -> None:
        """Stay a member of the group while nothing is fetched; what comes all the same is kept for later."""
        self._pause()
        self._poll()

    def _poll(self) -> None:
        self._polled = time.monotonic()
        message = self._kafka.poll(0)
        self._waiting.extend(self._records([] if message is None else [message]))
        self._raise_if_lost()

    def _pause(self) -> None:
        """Stop fetching, so that waiting records do not pile up; polling goes on, or Kafka would throw us out.

        All partitions each time: some may have come since the last.
        """
        self._kafka.pause(self._kafka.assignment())
        self._paused = True

    def _resume(self) -> None:
        if self._paused:
            self._kafka.resume(self._kafka.assignment())
            self._paused = False

    def _on_assign(self, consumer: KafkaConsumer, partitions: list[TopicPartition]) -> None:
        for partition in partitions:
            place = (partition.topic, partition.partition)
            self._assigned.add(place)
            if self._until_end:
                self._ends[place] = consumer.get_watermark_offsets(partition, timeout=5)[1]
        self._joined = True
        self._is_there()
        self._tell("topics", True, "")
        _log.info("partitions assigned", extra={"partitions": _names(partitions)})

    def _on_revoke(self, _consumer: KafkaConsumer, partitions: list[TopicPartition]) -> None:
        self._commit_and_wait((partition.topic, partition.partition) for partition in partitions)
        self._drop(partitions)
        _log.info("partitions revoked", extra={"partitions": _names(partitions)})

    def _on_lost(self, _consumer: KafkaConsumer, partitions: list[TopicPartition]) -> None:
        """Others have them already: no offset of ours may be committed any more."""
        self._drop(partitions)
        _log.warning("partitions lost", extra={"partitions": _names(partitions)})

    def _drop(self, partitions: Sequence[TopicPartition]) -> None:
        gone = {(partition.topic, partition.partition) for partition in partitions}
        self._assigned -= gone
        self._ends = {place: end for place, end in self._ends.items() if place not in gone}
        self._settled = {place: end for place, end in self._settled.items() if place not in gone}
        self._unconfirmed = {place: end for place, end in self._unconfirmed.items() if place not in gone}
        self._waiting = deque(r for r in self._waiting if (r.topic, r.partition) not in gone)

    def _commit(self) -> None:
        """Commit in the background what is not confirmed; `_on_commit` hears of it in a later poll."""
        self._commit_due = time.monotonic() + _COMMIT_AGAIN
        if offsets := [TopicPartition(*place, end) for place, end in self._unconfirmed.items()]:
            self._kafka.commit(offsets=offsets, asynchronous=True)

    def _commit_and_wait(self, places: Iterable[tuple[str, int]]) -> None:
        """Commit what is not confirmed of these: others are about to begin there."""
        offsets = [TopicPartition(*place, self._unconfirmed[place]) for place in places if place in self._unconfirmed]
        try:
            if offsets:
                self._kafka.commit(offsets=offsets, asynchronous=False)
        except KafkaException as exception:
            # Nothing is lost by it: whoever gets the partitions finds the ids in the inbox.
            _log.info("offsets not committed", extra={"why": exception.args[0].str()})

    def _on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        for partition in partitions:
            place = (partition.topic, partition.partition)
            why = error or partition.error
            if why is not None:
                _log.info("offsets not committed", extra={"why": why.str(), "partitions": _names([partition])})
            elif self._unconfirmed.get(place) == partition.offset:
                del self._unconfirmed[place]

    def _on_error(self, error: KafkaError) -> None:
        if meaning(error) is Meaning.FATAL:
            self._fatal = error
        if error.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001
            self._away = True
            self._trouble = self._trouble or error
            last = f" ({explain_kafka(self._trouble, self._settings)})"
            self._tell("kafka", False, f"no broker answers{last}")
            if distrusts(self._trouble):  # a new client reads certificates and passwords anew
                self._fatal = f"no broker answers{last}"
        else:
            self._trouble = error

    def _look_again(self) -> None:
        """Ask for a broker: librdkafka tells when all are away, and of their return nothing, on an idle topic."""
        try:
            self._kafka.list_topics("__consumer_offsets", timeout=_LOOK)
        except KafkaException:
            return
        self._is_there()

    def _is_there(self) -> None:
        self._away, self._trouble = False, None
        self._tell("kafka", True, "")

    def _raise_if_lost(self) -> None:
        if self._fatal is not None:
            raise BrokerLost(self._fatal)


def _record(message: KafkaMessage) -> Record:
    kind, timestamp = message.timestamp()
    try:
        # As they came from librdkafka; the stub allows text and dicts too, which only a producer may give.
        headers = cast("Sequence[tuple[str, bytes | None]]", message.headers() or ())
    except UnicodeDecodeError:  # the name of one is no text: then there are none, and the message is dead, not fetched
        headers = ()  # again and again
    return Record(
        topic=message.topic() or "",
        partition=_number(message.partition()),
        offset=_number(message.offset()),
        timestamp=timestamp if kind else None,  # 0: the record has none
        key=message.key(),
        value=message.value(),
        headers=headers,
    )


def _number(value: int | None) -> int:
    assert value is not None, "a record without an error has a place"  # noqa: S101
    return value


def _names(partitions: Sequence[TopicPartition]) -> list[str]:
    return [f"{partition.topic}[{partition.partition}]" for partition in partitions]
