"""Which topics there are, and what each of them takes."""

import logging
import time
from collections.abc import Collection, Iterable, Set
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.cimpl import NewTopic

from txbox.daemon import Kafka, admin_settings
from txbox.outbox.envelope import record_headers
from txbox.relay.batch import SIZE, Row
from txbox.relay.config import RelayConfig
from txbox.relay.errors import AccessDenied, TopicMissing, Undeliverable

__all__ = ["Topics"]

#: seconds for an answer of the cluster; the relay goes on after the back-off
_PATIENCE: Final = 10.0
#: what a record batch of one record takes beyond the row's own bytes, at most: our headers, lengths, the batch's own
_HEADERS: Final = 1024
#: the setting's two names
_COMPRESSION: Final = ("compression.type", "compression.codec")

_log = logging.getLogger(__name__)


class Topics:
    """Looks topics up when their first row comes. Asked again on each new term: limits may have been changed."""

    def __init__(self, kafka: Kafka, config: RelayConfig) -> None:
        settings = admin_settings(kafka)
        self._admin = AdminClient(settings)
        self._config = config
        #: how large a compressed batch is only Kafka can tell
        self.compressed = any(settings.get(name, "none") != "none" for name in _COMPRESSION)
        #: bytes of the largest record batch, by topic
        self.limits: dict[str, int] = {}
        #: names that can be no topic's: a row of another writer may have any
        self.impossible: set[str] = set()
        #: what Kafka said of topics that our user may not describe, or make
        self.denied: dict[str, str] = {}

    def learn(self, names: Collection[str]) -> None:
        """Look up the limits of topics that are not known yet, and make missing ones if that is configured.

        One that is missing and may not be made, or never can be, or is denied, gets no limit. Raises KafkaException.
        """
        if "" in names:  # which librdkafka would not even ask about
            self.impossible.add("")
        new = sorted(set(names) - self.limits.keys() - self.impossible)
        if new:
            for resource, future in self._describe(new).items():
                limit = self._limit_of(resource.name, future)
                if limit is not None:
                    self.limits[resource.name] = limit

    def forget(self, names: Iterable[str]) -> None:
        """Let the next `learn` ask for these topics again."""
        for name in names:
            self.limits.pop(name, None)
            self.impossible.discard(name)

    def least(self, names: Set[str], otherwise: int) -> int:
        """Return the least limit of these topics, as far as they have one."""
        return min((self.limits[name] for name in names & self.limits.keys()), default=otherwise)

    def take_all(self, rows: Collection[Row], names: Set[str]) -> bool:
        """Return whether there is surely no obstacle to any row; `names` are their topics. One look at all together."""
        if not names <= self.limits.keys():
            return False
        return self.compressed or max(map(SIZE, rows)) + _HEADERS < self.least(names, 0)

    def obstacle(self, row: Row) -> Undeliverable | TopicMissing | AccessDenied | None:
        """Return why a row may not be sent, as far as that is known before it is tried."""
        limit = self.limits.get(row.topic)
        if limit is None:
            if row.topic in self.impossible:
                return Undeliverable(row.id, row.topic, "Kafka allows no topic of this name")
            if why := self.denied.get(row.topic):
                return AccessDenied(row.topic, why)
            return TopicMissing(row.topic)
        if self.compressed or row.size + _HEADERS < limit or (size := _size(row)) <= limit:
            return None
        return Undeliverable(row.id, row.topic, f"it takes {size:,} bytes, the topic's max.message.bytes is {limit:,}")

    def _limit_of(self, name: str, future: Any) -> int | None:
        self.denied.pop(name, None)
        try:
            try:
                return _limit(future)
            except KafkaException as exception:
                if exception.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART or not self._config.create_topics:
                    raise
            self._create(name)
            return self._limit_of_new(name)
        except KafkaException as exception:
            self._note(name, exception.args[0])
            return None

    def _limit_of_new(self, name: str) -> int:
        """Return the limit of a topic that was just made: not every broker knows of it at once."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                return _limit(*self._describe([name]).values())
            except KafkaException as exception:
                if exception.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART or time.monotonic() > deadline:
                    raise
            self._admin.poll(0.05)

    def _note(self, name: str, error: KafkaError) -> None:
        """Keep in mind why a topic has no limit. Raises KafkaException if that is not the topic's fault."""
        match error.code():
            case KafkaError.TOPIC_EXCEPTION:
                self.impossible.add(name)
            case KafkaError.TOPIC_AUTHORIZATION_FAILED | KafkaError.CLUSTER_AUTHORIZATION_FAILED:
                self.denied[name] = error.str()
            case KafkaError.UNKNOWN_TOPIC_OR_PART if not self._config.create_topics:
                pass
            case _:
                raise KafkaException(error)

    def _describe(self, names: Iterable[str]) -> dict[ConfigResource, Any]:
        resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in names]
        return self._admin.describe_configs(resources, request_timeout=_PATIENCE)

    def _create(self, name: str) -> None:
        topic = NewTopic(name, self._config.partitions, self._config.replication)
        try:
            self._admin.create_topics([topic], request_timeout=_PATIENCE)[name].result(timeout=2 * _PATIENCE)
        except KafkaException as exception:
            if exception.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
        _log.info("topic created", extra={"topic": name, "partitions": self._config.partitions})


def _limit(future: Any) -> int:
    return int(future.result(timeout=2 * _PATIENCE)["max.message.bytes"].value)


def _size(row: Row) -> int:
    """Return the bytes of a record batch with this row alone: 61 of the batch, and up to 5 for each length in it."""
    headers = record_headers(row.id, row.type, row.headers)
    in_headers = sum(len(name.encode()) + len(value or b"") + 10 for name, value in headers)
    return 61 + 30 + len((row.key or "").encode()) + len(row.payload or b"") + in_headers
