"""Brokers that are killed, frozen and outvoted while a relay publishes: nothing lost, each key in order."""

import logging
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from confluent_kafka import ElectionType, KafkaException, TopicPartition
from confluent_kafka.admin import NewPartitions  # type: ignore[attr-defined]  # re-exported without saying so
from confluent_kafka.cimpl import NewTopic

from tests.integration.faults.cluster import Cluster
from tests.integration.faults.traffic import Traffic
from tests.integration.running import running
from tests.integration.topics import Topics
from tests.waiting import eventually
from txbox.daemon import Database, Kafka
from txbox.relay import Relay, RelayConfig


@pytest.fixture
def topic(topics: Topics) -> str:
    """A topic that every broker leads a part of."""
    return topics.make(partitions=3)


@pytest.fixture
def relay(database: Database, cluster: Cluster) -> Iterator[Relay]:
    """A relay in small steps, so that much is under way whenever something happens."""
    client = {"topic.metadata.refresh.interval.ms": 500}
    relay = Relay(database, Kafka(bootstrap_servers=cluster.bootstrap_servers, client=client), RelayConfig(batch=50))
    with running(relay):
        eventually(lambda: relay.health.report().ready)
        yield relay


def sample(relay: Relay, name: str, **labels: str) -> float:
    return relay.registry.get_sample_value(f"txbox_relay_{name}", labels) or 0.0


def in_sync(cluster: Cluster, topic: str) -> bool:
    """Whether every broker has everything, so that the next one may go."""
    return all(cluster.in_sync(topic, number) == {0, 1, 2} for number in range(3))


def test_brokers_may_be_killed_one_after_the_other(
    database: Database, cluster: Cluster, relay: Relay, topics: Topics, topic: str
) -> None:
    traffic = Traffic(database, topic)
    with traffic.flowing():
        for number in range(2):
            cluster.kill(number)
            written = traffic.written
            eventually(lambda: traffic.written >= written + 500)  # noqa: B023  # now
            cluster.revive(number)
            eventually(lambda: in_sync(cluster, topic), within=60)
    traffic.arrived(topics)


def test_a_leader_may_move_while_messages_are_under_way(
    database: Database, cluster: Cluster, relay: Relay, topics: Topics, topic: str
) -> None:
    traffic = Traffic(database, topic)
    led = cluster.leader(topic)
    with traffic.flowing():
        cluster.freeze([led])
        eventually(lambda: cluster.leader(topic) not in (led, -1, None), within=60)
        cluster.thaw()  # and it goes on, not knowing that it leads no more
        eventually(lambda: in_sync(cluster, topic), within=60)
        cluster.admin.elect_leaders(ElectionType.PREFERRED, [TopicPartition(topic, 0)]).result(60)
        eventually(lambda: cluster.leader(topic) == led, within=60)
        written = traffic.written
        eventually(lambda: traffic.written >= written + 500)
    traffic.arrived(topics)


def test_what_too_few_brokers_have_does_not_count_as_published(
    database: Database, cluster: Cluster, relay: Relay, topics: Topics, topic: str
) -> None:
    traffic = Traffic(database, topic)
    traffic.write(100)
    traffic.arrived(topics)
    # Of three controllers two must live, or nobody would know who is in sync: so of three copies all must have it.
    topics.configure(topic, "min.insync.replicas", "3")
    cluster.kill(2)
    eventually(lambda: 2 not in (cluster.in_sync(topic) or {2}), within=60)
    traffic.write(100)
    eventually(lambda: not relay.health.report().ready, within=60)
    assert "not acked" in relay.health.report().checks["publishing"].why
    assert sample(relay, "published_total", topic=topic) == 100
    cluster.revive(2)
    traffic.arrived(topics)
    eventually(lambda: relay.health.report().ready)


def test_all_brokers_may_stand_still(database: Database, cluster: Cluster, topics: Topics, topic: str) -> None:
    traffic = Traffic(database, topic)
    relay = Relay(database, cluster.kafka, RelayConfig(in_flight=20_000))
    with running(relay):
        traffic.write(100)
        traffic.arrived(topics)
        cluster.freeze(range(3))
        traffic.write(50_000)
        eventually(lambda: sample(relay, "in_flight_messages") == 20_000)
        eventually(lambda: not relay.health.report().ready, within=60)
        assert "not acked" in relay.health.report().checks["publishing"].why
        assert sample(relay, "in_flight_messages") == 20_000
        cluster.thaw()
        traffic.arrived(topics)
        eventually(lambda: relay.health.report().ready)


def test_partitions_may_be_added_and_are_used(
    database: Database, cluster: Cluster, relay: Relay, topics: Topics, topic: str
) -> None:
    traffic = Traffic(database, topic, keys=50)
    with traffic.flowing():
        cluster.admin.create_partitions([NewPartitions(topic, 9)])[topic].result(20)
        eventually(lambda: {record.partition for record in topics.read(topic)} > {0, 1, 2}, every=0.3)
    eventually(lambda: len(traffic.seen(topics, topic)) == traffic.written, every=0.3)
    # A key's order holds within each partition, and not across the change.
    records = list(dict.fromkeys((raw.partition, raw.key, int(raw.value or b"")) for raw in topics.read(topic)))
    assert sorted(records) == [*sorted(records, key=lambda one: one[:2])]


def test_a_producer_that_kafka_has_no_memory_of_is_replaced(
    database: Database, cluster: Cluster, relay: Relay, topics: Topics, caplog: Any
) -> None:
    topic = topics.prefix
    # Two copies, of which one may lead that lacks what the other acked: Kafka's own loss, and a hole in the sequence.
    new = NewTopic(topic, 1, replica_assignment=[[0, 1]], config={"min.insync.replicas": "1"})
    cluster.admin.create_topics([new])[topic].result(20)
    eventually(lambda: cluster.in_sync(topic) == {0, 1})
    traffic = Traffic(database, topic)
    traffic.write(100)
    traffic.arrived(topics)
    cluster.kill(1)
    eventually(lambda: cluster.in_sync(topic) == {0}, within=60)
    traffic.write(100)
    traffic.arrived(topics)
    cluster.kill(0)
    cluster.revive(1)
    with caplog.at_level(logging.WARNING):
        eventually(lambda: led_by(cluster, topic, 1), within=60)
        traffic.write(100)
        eventually(lambda: sample(relay, "reconnects_total", server="kafka") > 0, within=60)
    assert [record for record in caplog.records if "sequence" in getattr(record, "why", "")]
    numbers = [*range(100), *range(200, 300)]
    eventually(lambda: sorted(n for _, n in traffic.seen(topics, topic)) == numbers, within=60, every=0.3)
    eventually(lambda: relay.health.report().ready)


def led_by(cluster: Cluster, topic: str, number: int) -> bool:
    """Let a broker lead that lacks messages; whether it does."""
    if cluster.leader(topic) != number:
        with suppress(KafkaException):  # the controllers may be electing too
            cluster.admin.elect_leaders(ElectionType.UNCLEAN, [TopicPartition(topic, 0)]).result(60)
    return cluster.leader(topic) == number
