"""On a new cluster the first produce and the first group join wait seconds for internal topics: `up` waits instead."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # re-exported without saying so

from txbox.sandbox.processes import eventually

_LIMIT = 30


def warm_up(bootstrap_servers: str, brokers: int) -> bool:
    """Make a topic, write to it, read it as a group, and delete it; whether all that worked within a limit."""
    client: dict[str, Any] = {
        "bootstrap.servers": bootstrap_servers,
        "reconnect.backoff.max.ms": 200,
        "log_level": 0,  # a broker that is not quite there yet is no news
    }
    name = f"warm-up-{uuid4().hex[:8]}"
    admin = AdminClient(client)
    try:
        if not eventually(lambda: len(admin.list_topics(timeout=5).brokers) == brokers, _LIMIT):
            return False
        admin.create_topics([NewTopic(name, num_partitions=1)])[name].result(_LIMIT)
        works = _goes_round(client, name, admin if brokers == 1 else None)
        admin.delete_topics([name])[name].result(_LIMIT)
    except KafkaException:
        return False
    return works


def _goes_round(client: dict[str, Any], name: str, admin: AdminClient | None) -> bool:
    producer = Producer(client | {"enable.idempotence": True})
    producer.produce(name, b"warm")  # its id takes a while, and so does the coordinator
    # librdkafka's consumer asks a coordinator that is not ready once a second; this asks all the time. Not of several
    # brokers: a question to one that is the coordinator no more is never answered.
    if admin and not eventually(lambda: _has_coordinator(admin, name), _LIMIT):
        return False
    consumer = Consumer(client | {"group.id": name, "auto.offset.reset": "earliest"})
    try:
        consumer.subscribe([name])
        return consumer.poll(_LIMIT) is not None and producer.flush(_LIMIT) == 0
    finally:
        consumer.close()


def _has_coordinator(admin: AdminClient, group: str) -> bool:
    try:
        # a question that a coordinator in the making does not answer is asked again, not waited for
        admin.describe_consumer_groups([group], request_timeout=2)[group].result(_LIMIT)
    except KafkaException:
        return False
    return True
