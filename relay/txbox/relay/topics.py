"""Which topics there are, and how large a record each of them takes."""

import logging
from collections.abc import Iterable
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.cimpl import NewTopic

from txbox.daemon import Kafka, admin_settings
from txbox.daemon.librdkafka import LOGGER
from txbox.relay.config import RelayConfig

__all__ = ["Topics"]

#: seconds for an answer of the cluster; the relay goes on after the back-off
_PATIENCE: Final = 10.0

_log = logging.getLogger(__name__)


class Topics:
    """Looks topics up when their first row comes. Asked again on each new term: limits may have been changed."""

    def __init__(self, kafka: Kafka, config: RelayConfig) -> None:
        self._admin = AdminClient(admin_settings(kafka), logger=LOGGER)
        self._config = config
        #: bytes of the largest record batch, by topic
        self.limits: dict[str, int] = {}
        #: names that can be no topic's: a row of another writer may have any
        self.impossible: set[str] = set()

    def learn(self, names: Iterable[str]) -> None:
        """Look up the limits of topics that are not known yet, and make missing ones if that is configured.

        One that is missing and may not be made, or never can be, gets no limit. Raises KafkaException.
        """
        new = sorted(set(names) - self.limits.keys() - self.impossible)
        if new:
            resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in new]
            futures = self._admin.describe_configs(resources, request_timeout=_PATIENCE)
            for resource, future in futures.items():
                limit = self._limit_of(resource.name, future)
                if limit is not None:
                    self.limits[resource.name] = limit

    def _limit_of(self, name: str, future: object) -> int | None:
        try:
            return int(future.result(timeout=2 * _PATIENCE)["max.message.bytes"].value)  # type: ignore[attr-defined]
        except KafkaException as exception:
            if exception.args[0].code() == KafkaError.TOPIC_EXCEPTION:
                self.impossible.add(name)
                return None
            if exception.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise
            if not self._config.create_topics:
                return None
        self._create(name)
        resource = ConfigResource(ConfigResource.Type.TOPIC, name)
        future = self._admin.describe_configs([resource], request_timeout=_PATIENCE)[resource]
        return int(future.result(timeout=2 * _PATIENCE)["max.message.bytes"].value)

    def _create(self, name: str) -> None:
        topic = NewTopic(name, self._config.partitions, self._config.replication)
        try:
            self._admin.create_topics([topic], request_timeout=_PATIENCE)[name].result(timeout=2 * _PATIENCE)
        except KafkaException as exception:
            if exception.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
        _log.info("topic created", extra={"topic": name, "partitions": self._config.partitions})
