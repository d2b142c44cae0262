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
    topic = f"warm-up-{uuid4().hex[:8]}"
    admin = AdminClient(client)
    try:
        if not eventually(lambda: len(admin.list_topics(timeout=5).brokers) == brokers, _LIMIT):
            return False
        admin.create_topics([NewTopic(topic, num_partitions=1)])[topic].result(_LIMIT)
        works = _goes_round(client, topic)
        admin.delete_topics([topic])[topic].result(_LIMIT)
    except KafkaException:
        return False
    return works


def _goes_round(client: dict[str, Any], topic: str) -> bool:
    consumer = Consumer(client | {"group.id": topic, "auto.offset.reset": "earliest"})
    producer = Producer(client | {"enable.idempotence": True})
    try:
        consumer.subscribe([topic])
        consumer.poll(0)  # joins while the producer waits for its id
        producer.produce(topic, b"warm")
        return producer.flush(_LIMIT) == 0 and consumer.poll(_LIMIT) is not None
    finally:
        consumer.close()
