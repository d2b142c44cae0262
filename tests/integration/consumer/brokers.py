"""Kill brokers under a consumer's group: leaders of its partitions, and its coordinator among them."""

from collections.abc import Iterable

from tests.integration.consumer.group import Group
from tests.integration.faults.cluster import Cluster
from tests.waiting import eventually

__all__ = ["kill_brokers"]


def kill_brokers(group: Group, cluster: Cluster, numbers: Iterable[int]) -> None:
    """Kill them one after the other while messages flow; fail if the effects are not what they should be."""

    def in_sync() -> bool:
        return all(cluster.in_sync(group.topic, part) == {0, 1, 2} for part in range(3))

    with group.thread(), group.thread():
        with group.traffic.flowing():
            group.traffic.more(group.effects)
            for number in numbers:
                cluster.kill(number)
                group.traffic.more(group.effects)
                cluster.revive(number)
                eventually(in_sync, within=60)
        group.settled()
