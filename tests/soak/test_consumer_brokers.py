"""Each broker of three is killed, again and again, under a consumer's group."""

from tests.integration.consumer.brokers import kill_brokers
from tests.integration.consumer.group import Group
from tests.integration.faults.cluster import Cluster
from tests.integration.faults.conftest import cluster, started
from tests.integration.topics import Topics
from txbox.daemon import Database

__all__ = ["cluster", "started"]


def test_one_effect_each_in_order_while_brokers_are_killed(
    database: Database, cluster: Cluster, txbox_topic: str
) -> None:
    topics = Topics(cluster.admin, cluster.bootstrap_servers, txbox_topic, copies=3)
    group = Group(database.url, cluster.kafka, topics, topics.make(partitions=3))
    kill_brokers(group, cluster, [0, 1, 2] * 3)
