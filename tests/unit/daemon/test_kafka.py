"""Which of librdkafka's settings are ours, which are the user's, and what its errors ask of us."""

from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, Producer

from txbox.daemon import Kafka, Meaning, RefusedSetting, consumer_settings, meaning, producer_settings
from txbox.daemon.kafka import _REFUSED


def kafka(**client: Any) -> Kafka:
    return Kafka(
        bootstrap_servers="127.0.0.1:1", client={name.replace("_", "."): value for name, value in client.items()}
    )


def producer(given: Kafka) -> dict[str, Any]:
    return producer_settings(given, batch_size=1000, in_flight=10, in_flight_size=1 << 20)


def consumer(given: Kafka, **more: Any) -> dict[str, Any]:
    return consumer_settings(given, group="billing", session_timeout=10.0, **more)


@pytest.mark.parametrize("name", sorted(_REFUSED))
def test_what_would_break_a_promise_is_refused_with_the_reason(name: str) -> None:
    given = Kafka(bootstrap_servers="x", client={name: "1"})
    for settings in (producer, consumer):
        with pytest.raises(RefusedSetting, match=name) as caught:
            settings(given)
        assert _REFUSED[name] in str(caught.value)


@pytest.mark.parametrize(
    "client",
    [{"security_protocol": "SSL"}, {"compression_type": "lz4"}, {"client_id": "mine"}, {"socket_timeout_ms": 5}],
)
def test_the_users_settings_pass_through(client: dict[str, Any]) -> None:
    for settings in (producer, consumer):
        assert kafka(**client).client.items() <= settings(kafka(**client)).items()


def test_the_promises_are_set() -> None:
    assert {
        "enable.idempotence": True,
        "acks": "all",
        "message.timeout.ms": 0,
        "partitioner": "murmur2_random",
        "batch.size": 1000,
    }.items() <= producer(kafka()).items()
    assert {
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "group.id": "billing",
        "session.timeout.ms": 10_000,
    }.items() <= consumer(kafka()).items()


def test_a_static_member_is_named_when_it_has_a_name() -> None:
    assert consumer(kafka(), instance_id="one")["group.instance.id"] == "one"
    assert "group.instance.id" not in consumer(kafka())


def test_what_brokers_decide_by_kip_848_is_left_to_them() -> None:
    settings = consumer(kafka(group_protocol="consumer"), instance_id="one")
    assert not settings.keys() & {"partition.assignment.strategy", "session.timeout.ms", "heartbeat.interval.ms"}
    Consumer({**settings, "log_level": 0}).close()


def test_a_message_larger_than_what_may_be_under_way_is_taken_alone() -> None:
    small = producer_settings(kafka(), batch_size=1000, in_flight=1, in_flight_size=1000)
    Producer({**small, "log_level": 0}).produce("t", bytes(20_000_000))


def test_librdkafka_takes_the_settings() -> None:
    quiet = {"log_level": 0}
    Producer({**producer(kafka()), **quiet})
    Consumer({**consumer(kafka(), instance_id="one"), **quiet}).close()


POISON = [
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.RECORD_LIST_TOO_LARGE,
    KafkaError.INVALID_RECORD,
    KafkaError.INVALID_MSG,
    KafkaError.INVALID_MSG_SIZE,
    KafkaError.INVALID_TIMESTAMP,
    KafkaError.TOPIC_EXCEPTION,
    KafkaError._BAD_MSG,
    KafkaError._INVALID_ARG,
]
RETRY = [
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.NOT_ENOUGH_REPLICAS,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TRANSPORT,
    KafkaError._PURGE_QUEUE,
    KafkaError.UNKNOWN,
]


@pytest.mark.parametrize(
    ("error", "asks"),
    [(KafkaError(code), Meaning.POISON) for code in POISON]
    + [(KafkaError(code), Meaning.RETRY) for code in RETRY]
    + [
        (KafkaError(KafkaError._FATAL), Meaning.FATAL),
        (KafkaError(KafkaError.INVALID_MSG, "x", fatal=True), Meaning.FATAL),
    ],
    ids=str,
)
def test_what_an_error_asks_of_us(error: KafkaError, asks: Meaning) -> None:
    assert meaning(error) is asks
