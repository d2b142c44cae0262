"""Topics that get more partitions, or go and come back, under a running consumer."""

from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from tests.integration.consumer.group import PROTOCOLS, Group
from tests.integration.consumer.traffic import Verdict
from tests.waiting import eventually

#: what is new is looked for twice a second
_EAGER: dict[str, Any] = {"topic.metadata.refresh.interval.ms": 500}


def test_partitions_that_are_added_are_read_from_their_first_message(group: Group, admin: AdminClient) -> None:
    group.client = _EAGER
    with group.thread() as one:
        with group.traffic.flowing():
            group.traffic.more(group.effects)
            admin.create_partitions([NewPartitions(group.topic, 9)])[group.topic].result(20)
        group.traffic.renew()
        with group.traffic.flowing():
            eventually(lambda: group.partitions(one) == 9, within=60)
            group.traffic.more(group.effects)
        eventually(lambda: group.effects.count() >= len(group.traffic.written), within=60)
    found = Verdict.of(group.traffic.written, group.effects.all())
    assert (found.lost, found.repeated) == (frozenset(), frozenset())  # a key may have moved, and its order with it
    assert any(raw.partition >= 6 for raw in group.topics.read(group.topic))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_topic_that_is_deleted_and_made_again_is_read_from_its_first_message(
    group: Group, admin: AdminClient, protocol: str
) -> None:
    group.client = _EAGER | PROTOCOLS[protocol]
    with group.thread():
        group.traffic.write(600)
        group.settled()
        admin.delete_topics([group.topic])[group.topic].result(20)
        group.topics.make(partitions=6)
        group.traffic.renew()
        group.traffic.write(1200)
        group.settled()
