"""Topics of a test: make them, write raw records into them, read everything that they hold."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from uuid import uuid4

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.cimpl import NewTopic

from tests.waiting import eventually

__all__ = ["Raw", "Topics"]


class Raw(NamedTuple):
    """A record as some producer, ours or not, writes it; as it is found again."""

    value: bytes | None = None
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes | None]] = ()
    partition: int = 0
    offset: int = -1
    timestamp: int = 0

    def header(self, name: str) -> bytes | None:
        return dict(self.headers).get(name)

    @classmethod
    def message(cls, type_: str = "T", value: bytes | None = b"{}", key: bytes | None = None, **place: int) -> "Raw":
        """A message as the relay writes it, with an id of its own."""
        return cls(value, key, [("id", str(uuid4()).encode()), ("type", type_.encode())], **place)


class Topics:
    """The topics of one test; their names begin with `prefix`."""

    def __init__(self, admin: AdminClient, bootstrap_servers: str, prefix: str, copies: int = 1) -> None:
        self._admin, self._servers, self.prefix = admin, {"bootstrap.servers": bootstrap_servers}, prefix
        self._copies = copies

    def make(self, suffix: str = "", partitions: int = 1, **config: str) -> str:
        """Return the name of a new topic; config keys have _ for the dots."""
        name = self.prefix + suffix
        settings = {key.replace("_", "."): value for key, value in config.items()}
        self._admin.create_topics([NewTopic(name, partitions, self._copies, config=settings)])[name].result(20)
        eventually(lambda: self._settled(name))
        return name

    def configure(self, name: str, key: str, value: str) -> None:
        """Change one of a topic's settings."""
        entry = ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ConfigResource.Type.TOPIC, name, incremental_configs=[entry])
        self._admin.incremental_alter_configs([resource])[resource].result(20)

    def put(self, name: str, *records: Raw) -> None:
        """Write records, in order."""
        failed: list[KafkaError] = []
        producer = Producer({**self._servers, "enable.idempotence": True})
        for raw in records:
            producer.produce(
                name,
                raw.value,
                raw.key,
                raw.partition,
                headers=list(raw.headers),
                timestamp=raw.timestamp,
                on_delivery=lambda error, _: failed.append(error) if error else None,
            )
        assert producer.flush(20) == 0
        assert not failed

    def read(self, name: str) -> list[Raw]:
        """All records of a topic, by partition and offset."""
        settings = {**self._servers, "group.id": uuid4().hex, "enable.partition.eof": True, "fetch.wait.max.ms": 10}
        consumer = Consumer({**settings, "enable.auto.commit": False})
        try:
            partitions = consumer.list_topics(name, timeout=20).topics[name].partitions
            consumer.assign([TopicPartition(name, partition, 0) for partition in partitions])
            return sorted(_until_ends(consumer, len(partitions)), key=lambda raw: (raw.partition, raw.offset))
        finally:
            consumer.close()

    def ids(self, name: str) -> list[str]:
        """The ids of all messages of a topic, in order a partition."""
        return [(raw.header("id") or b"?").decode() for raw in self.read(name)]

    def count(self, name: str) -> int:
        """How many records a topic holds."""
        return len(self.read(name))

    def committed(self, group: str, name: str) -> int:
        """The sum of a group's committed offsets in a topic."""
        consumer = Consumer({**self._servers, "group.id": group})
        try:
            places = [TopicPartition(name, number) for number in consumer.list_topics(name).topics[name].partitions]
            return sum(max(place.offset, 0) for place in consumer.committed(places, timeout=20))
        finally:
            consumer.close()

    def rewind(self, group: str, name: str) -> None:
        """Commit offset 0 for a group that has no members: everything is delivered to it once more."""
        consumer = Consumer({**self._servers, "group.id": group})
        try:
            numbers = consumer.list_topics(name).topics[name].partitions
            consumer.commit(offsets=[TopicPartition(name, number, 0) for number in numbers], asynchronous=False)
        finally:
            consumer.close()

    def _settled(self, name: str) -> bool:
        """Whether the broker itself knows what its controller has made."""
        resource = ConfigResource(ConfigResource.Type.TOPIC, name)
        try:
            self._admin.describe_configs([resource])[resource].result(20)
        except KafkaException:
            return False
        partitions = self._admin.list_topics(name, timeout=20).topics[name].partitions
        return bool(partitions) and all(partition.leader >= 0 for partition in partitions.values())


def repeated(ids: Sequence[str]) -> list[str]:
    """The ids that occur more than once."""
    return [id_ for id_, times in Counter(ids).items() if times > 1]


def _until_ends(consumer: Consumer, partitions: int) -> Iterator[Raw]:
    ended = 0
    while ended < partitions:
        message = consumer.poll(20)
        assert message is not None, "a topic's end was not reached in 20 s"
        if (error := message.error()) is None:
            yield _raw(message)
        elif error.code() == KafkaError._PARTITION_EOF:
            ended += 1
        else:
            raise KafkaException(error)


def _raw(message: Message) -> Raw:
    headers = message.headers() or []
    assert isinstance(headers, list)
    return Raw(
        value=message.value(),
        key=message.key(),
        headers=headers,  # type: ignore[arg-type]
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        timestamp=message.timestamp()[1],
    )
