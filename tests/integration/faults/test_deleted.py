"""Topics that are deleted while a relay publishes: it says which, waits, and sends what was not acked before."""

import pytest

from tests.integration.faults.cluster import Cluster
from tests.integration.faults.traffic import Traffic
from tests.integration.running import running
from tests.integration.topics import Topics
from tests.waiting import eventually
from txbox.daemon import Database, Kafka
from txbox.relay import Relay, RelayConfig

#: a topic that no broker knows for a second is gone; by default for ten
_SOON = {"topic.metadata.propagation.max.ms": 1000}


@pytest.mark.parametrize("create", [False, True])
def test_a_topic_that_is_deleted_under_traffic_gets_what_was_not_acked(
    database: Database, cluster: Cluster, topics: Topics, create: bool
) -> None:
    kept, deleted = topics.make(".kept", partitions=2), topics.make(".deleted", partitions=2)
    relay = Relay(
        database,
        Kafka(bootstrap_servers=cluster.bootstrap_servers, client=_SOON),
        RelayConfig(batch=50, create_topics=create, partitions=2),
    )
    traffic = Traffic(database, kept, deleted)
    with running(relay):
        with traffic.flowing():
            eventually(lambda: topics.count(deleted) > 100, every=0.1)
            cluster.admin.delete_topics([deleted])[deleted].result(20)
            traffic.forget(deleted)
            if not create:
                eventually(lambda: f"{deleted!r} does not exist" in relay.health.report().checks["publishing"].why)
                assert not relay.health.report().ready
                topics.make(".deleted", partitions=2)
            written = traffic.written
            eventually(lambda: traffic.written >= written + 500)
        traffic.arrived(topics)
        eventually(lambda: relay.health.report().ready)
