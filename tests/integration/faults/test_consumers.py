"""A broker is killed while a consumer's group is at work: one effect each, a key's in order."""

from tests.integration.consumer.brokers import kill_brokers
from tests.integration.consumer.group import Group
from tests.integration.faults.cluster import Cluster
from tests.integration.topics import Topics
from txbox.daemon import Database


def test_one_effect_each_in_order_while_a_broker_is_killed(
    database: Database, cluster: Cluster, topics: Topics
) -> None:
    group = Group(database.url, cluster.kafka, topics, topics.make(partitions=3))
    kill_brokers(group, cluster, [1])
