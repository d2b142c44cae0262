"""librdkafka: which settings are ours, which are yours, which are refused; and what its errors mean."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException

from txbox.daemon.errors import RefusedSetting

__all__ = [
    "Kafka",
    "Meaning",
    "admin_settings",
    "consumer_settings",
    "is_misconfigured",
    "meaning",
    "producer_settings",
    "refused",
    "told",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kafka:
    """Which cluster, and how to reach it."""

    bootstrap_servers: str
    #: any librdkafka setting (security, timeouts, ...) but those that would break a promise
    client: Mapping[str, str | int | float | bool] = field(default_factory=dict, repr=False)
    #: such settings whose values are in files, read for each client: a password that is changed needs no restart
    files: Mapping[str, Path] = field(default_factory=dict)

    def settings(self) -> dict[str, str | int | float | bool]:
        """Return all of them as they are now. Raises RefusedSetting."""
        for name in (*self.client, *self.files):
            if why := _REFUSED.get(name):
                raise RefusedSetting(name, why)
        return {**self.client, **{name: _value(name, path) for name, path in self.files.items()}}


#: bytes of the largest message that librdkafka would take
_LARGEST: Final = 1_000_000_000

_ORDER: Final = "rows of a key would be reordered or repeated when Kafka retries"
_LOSS: Final = "a message could be lost without anybody knowing"
_OFFSETS: Final = "offsets are committed after the handlers' transaction, never by a timer"

#: settings that nobody may change, and why
_REFUSED: Final[Mapping[str, str]] = {
    "bootstrap.servers": "set kafka.bootstrap_servers",
    "metadata.broker.list": "set kafka.bootstrap_servers",
    "enable.idempotence": _ORDER,
    "max.in.flight": _ORDER,
    "max.in.flight.requests.per.connection": _ORDER,
    "partitioner": "keys must find the partition that Java's producers give them",
    "acks": _LOSS,
    "request.required.acks": _LOSS,
    "retries": _LOSS,
    "message.send.max.retries": _LOSS,
    "message.timeout.ms": _LOSS,
    "delivery.timeout.ms": _LOSS,
    "delivery.report.only.error": "the cursor is moved by acks",
    "transactional.id": "the outbox makes Kafka's transactions needless",
    "linger.ms": "it is part of the relay's latency",
    "batch.size": "it follows the topics' limits",
    "queue.buffering.max.messages": "set relay.in_flight",
    "queue.buffering.max.kbytes": "set relay.in_flight_size",
    "enable.auto.commit": _OFFSETS,
    "auto.commit.interval.ms": _OFFSETS,
    "enable.auto.offset.store": _OFFSETS,
    "group.id": "it is the consumer's name",
    "group.instance.id": "set consumer.instance_id",
    "session.timeout.ms": "set consumer.session_timeout",
    "auto.offset.reset": "a new consumer begins with the first message; anything else would lose some",
    "enable.partition.eof": "it would hand the consumer records that are no messages",
}


def refused() -> Sequence[tuple[str, str]]:
    """Return the settings that nobody may change, and why."""
    return tuple(_REFUSED.items())


def admin_settings(kafka: Kafka) -> dict[str, Any]:
    """Return the settings of a client that asks about topics and groups. Raises RefusedSetting.

    Each question has an answer, or an error: it logs nothing (and a log that nobody polls for would pile up).
    """
    return {**_clients(kafka), "log_level": 0}


def producer_settings(kafka: Kafka, *, batch_size: int, in_flight: int, in_flight_size: int) -> dict[str, Any]:
    """Return the settings of a producer that neither loses, repeats nor reorders. Raises RefusedSetting."""
    return {
        # How large a message may be is for its topic to say; librdkafka's own limit would refuse what Kafka takes.
        "message.max.bytes": _LARGEST,
        # A topic that is gone for so long was deleted, and is not merely unknown to a broker that has just started:
        # what waits for it fails then, and the relay says which one is missing.
        "topic.metadata.propagation.max.ms": 10_000,
        **_clients(kafka),
        "enable.idempotence": True,
        "acks": "all",
        # No time-out of librdkafka's: it would answer "unknown" for a row that Kafka may have. The relay waits.
        "message.timeout.ms": 0,
        "partitioner": "murmur2_random",
        "linger.ms": 5,
        "batch.size": batch_size,
        "batch.num.messages": 100_000,
        # Above the relay's own bounds, which are what stops it from producing too far ahead; and never so low that one
        # large message, or the held ones that are tried together, wait for room that there may never be.
        "queue.buffering.max.messages": 2 * in_flight + 10_000,
        "queue.buffering.max.kbytes": (2 * in_flight_size + _LARGEST) // 1024,
    }


def consumer_settings(
    kafka: Kafka, *, group: str, session_timeout: float, instance_id: str | None = None
) -> dict[str, Any]:
    """Return the settings of a consumer that commits offsets only when told. Raises RefusedSetting."""
    settings = {
        # A topic that is made after the consumer was started is found in seconds, not in five minutes.
        "topic.metadata.refresh.interval.ms": 5000,
        # A long poll answers at once when there is something; the default of 500 ms holds up nobody.
        "fetch.wait.max.ms": 500,
        **_membership(kafka, session_timeout),
        **_clients(kafka),
        "group.id": group,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
    }
    return settings | ({"group.instance.id": instance_id} if instance_id else {})


def _membership(kafka: Kafka, session_timeout: float) -> dict[str, Any]:
    """Return what a member says of itself, unless the brokers decide it: with KIP-848's protocol, which refuses it."""
    if str(kafka.client.get("group.protocol", "")).lower() == "consumer":
        return {}
    timeout = int(session_timeout * 1000)
    return {
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": timeout,
        "heartbeat.interval.ms": max(timeout // 4, 100),
    }


def _value(name: str, path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        # As of a broker that is away: who replaces a file may have removed it for a moment.
        why = f"kafka.client {name}: cannot read {path} ({type(error).__name__})"
        raise KafkaException(KafkaError(KafkaError._FAIL, why)) from None  # noqa: SLF001


def _clients(kafka: Kafka) -> dict[str, Any]:
    return {
        "client.id": "txbox",
        # A broker that comes back is found within a second and not after the default's ten.
        "reconnect.backoff.max.ms": 1000,
        **kafka.settings(),
        "bootstrap.servers": kafka.bootstrap_servers,
    }


def told(error: BaseException) -> str:
    """Return what an error says, without the wrapping of librdkafka's; its class's name if it says nothing."""
    first = error.args[0] if error.args else None
    return first.str() if isinstance(first, KafkaError) else str(error).strip() or type(error).__name__


def is_misconfigured(error: BaseException) -> bool:
    """Return whether a client could not be made of its settings: no time mends that.

    But of files with certificates one may be written just now, or not yet: they are waited for.
    """
    first = error.args[0] if error.args else None
    invalid = isinstance(first, KafkaError) and first.code() == KafkaError._INVALID_ARG  # noqa: SLF001
    return invalid and not re.search(r"ssl\.\w+\.location failed", told(error))


class Meaning(StrEnum):
    """What an error asks of us."""

    #: the world's fault: wait and try again
    RETRY = "retry"
    #: this message's fault: it will be refused each time
    POISON = "poison"
    #: the client is beyond use: make a new one and go on from what was saved
    FATAL = "fatal"


# https://kafka.apache.org/protocol#protocol_error_codes; every other code means RETRY: with an unknown error, waiting
# loses nothing and skipping might.
_POISON: Final = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_MSG,
        KafkaError.INVALID_MSG_SIZE,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError._BAD_MSG,  # noqa: SLF001  # librdkafka's own codes begin with an underscore
        KafkaError._INVALID_ARG,  # noqa: SLF001
        # Of a batch with two bad records, librdkafka says so of the good ones: each is to be tried alone.
        KafkaError._INVALID_DIFFERENT_RECORD,  # noqa: SLF001
    }
)


def meaning(error: KafkaError) -> Meaning:
    """Return what an error, of a delivery or of the client, asks of us."""
    if error.fatal() or error.code() == KafkaError._FATAL:  # noqa: SLF001
        return Meaning.FATAL
    return Meaning.POISON if error.code() in _POISON else Meaning.RETRY
