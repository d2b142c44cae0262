"""Brokers that are frozen and killed over and over, under a relay that publishes: no gap, each key in order."""

import time
from collections.abc import Iterator

import pytest

from tests.integration.faults.cluster import Cluster
from tests.integration.faults.conftest import cluster, started
from tests.integration.faults.traffic import Traffic
from tests.integration.running import running
from tests.integration.topics import Topics
from tests.waiting import eventually
from txbox.daemon import Database
from txbox.relay import Relay, RelayConfig

__all__ = ["cluster", "started"]


@pytest.fixture
def topics(cluster: Cluster, txbox_topic: str) -> Topics:
    return Topics(cluster.admin, cluster.bootstrap_servers, txbox_topic, copies=3)


@pytest.fixture
def topic(topics: Topics) -> str:
    return topics.make(partitions=6)


@pytest.fixture
def traffic(database: Database, cluster: Cluster, topic: str) -> Iterator[Traffic]:
    """Messages under way, for as long as the test lasts."""
    traffic = Traffic(database, topic, keys=50)
    with running(Relay(database, cluster.kafka, RelayConfig(batch=50))), traffic.flowing():
        yield traffic


def passed(seconds: float) -> None:
    until = time.monotonic() + seconds
    eventually(lambda: time.monotonic() > until, within=seconds + 60)


def test_two_of_three_brokers_may_be_frozen_over_and_over(cluster: Cluster, traffic: Traffic, topics: Topics):
    """https://github.com/confluentinc/librdkafka/issues/4134: acked, and not on the log."""
    for round_ in range(6):
        pair = {round_ % 3, (round_ + 1) % 3}
        cluster.freeze(pair)
        passed(45)
        cluster.thaw()
        passed(20)
    traffic.stop()
    traffic.arrived(topics, within=180)


def test_brokers_may_be_killed_over_and_over(cluster: Cluster, traffic: Traffic, topics: Topics, topic: str):
    for round_ in range(20):
        cluster.kill(round_ % 3)
        passed(2)
        cluster.revive(round_ % 3)
        eventually(lambda: all(cluster.in_sync(topic, number) == {0, 1, 2} for number in range(6)), within=60)
    traffic.stop()
    traffic.arrived(topics, within=180)
