"""Links that fall silent for long: the limits in earnest."""

import time

from tests.integration.proxied_broker import proxied_broker
from tests.integration.relay import relay_process
from tests.integration.relay.test_postgres_cut import lost_sessions
from tests.integration.relay.traffic import Traffic
from tests.integration.running import process, running
from tests.integration.topics import Topics
from tests.integration.toxiproxy import Proxy, Toxiproxy, through
from tests.waiting import eventually
from txbox.daemon import Database, Kafka
from txbox.relay import Relay

#: docs/limits.md: a standby leads this long after a leader fell silent, at the latest
BOUND = 21.0


def test_a_standby_follows_a_silent_leader_within_the_bound(
    database: Database, kafka: Kafka, postgres_link: Proxy, topics: Topics, topic: str
) -> None:
    traffic = Traffic(database, topics, topic)
    far = through(database.url, postgres_link)
    with process(relay_process.__name__, far, kafka.bootstrap_servers) as leader:
        leader.said('"leading"')
        with process(relay_process.__name__, database.url, kafka.bootstrap_servers) as standby:
            standby.said("standing by")
            traffic.write(20)
            traffic.settle()
            with postgres_link.silence():
                began = time.monotonic()
                traffic.write(20)
                eventually(lambda: '"leading"' in standby.log, within=60)
                took = time.monotonic() - began
                traffic.settle()
            print(f"a standby led {took:.1f} s after the silence began")
            assert took < BOUND + 1, "and a second for the test itself"
            traffic.write(20)
            traffic.settle()
            eventually(lambda: "standing by" in leader.log, within=60)
    traffic.judge()


def test_kafka_is_silent_for_a_minute(database: Database, toxiproxy: Toxiproxy, txbox_topic: str) -> None:
    with proxied_broker(toxiproxy) as broker:
        topics = Topics(broker.admin, broker.direct, txbox_topic)
        traffic = Traffic(database, topics, topics.make(partitions=2))
        relay = Relay(database, Kafka(bootstrap_servers=broker.bootstrap_servers))
        with running(relay):
            traffic.write(20)
            traffic.settle()
            with broker.link.silence():
                began = time.monotonic()
                traffic.write(200)
                eventually(lambda: not relay.health.report().ready)
                eventually(lambda: time.monotonic() - began > 60, within=90)
                assert relay.health.live()
            began = time.monotonic()
            traffic.settle(within=120)
            print(f"published {time.monotonic() - began:.1f} s after the silence, {traffic.judge()} repeated")
            assert not lost_sessions(relay), "the lead was lost for a silence that was Kafka's"
            eventually(lambda: relay.health.report().ready)
