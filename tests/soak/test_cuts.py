"""Links that are cut after every few bytes, one after the other."""

from tests.integration.proxied_broker import proxied_broker
from tests.integration.relay import test_kafka_cut as kafka_cut
from tests.integration.relay import test_postgres_cut as postgres_cut
from tests.integration.relay.traffic import Traffic
from tests.integration.running import running
from tests.integration.topics import Topics
from tests.integration.toxiproxy import Proxy, Toxiproxy
from txbox.daemon import Backoff, Database, Kafka
from txbox.relay import Relay, RelayConfig

#: no statement and no request is shorter
STEP = 61


def test_the_link_to_postgres(database: Database, kafka: Kafka, postgres_link: Proxy, topics: Topics) -> None:
    traffic = Traffic(database, topics, topics.make(max_message_bytes="1000"))
    relay = postgres_cut.relay_behind(database, kafka, postgres_link, **postgres_cut.PACED)
    with running(relay):
        for size in range(0, 4000, STEP):
            postgres_cut.cut_after(relay, postgres_link, "downstream", size, traffic)
        traffic.judge()
        for size in range(0, 12_500, STEP):
            postgres_cut.cut_after(relay, postgres_link, "upstream", size, traffic, refused=bool(size % 2))
    traffic.judge()


def test_the_link_to_kafka(database: Database, toxiproxy: Toxiproxy, txbox_topic: str) -> None:
    with proxied_broker(toxiproxy) as broker:
        topics = Topics(broker.admin, broker.direct, txbox_topic)
        traffic = Traffic(database, topics, topics.make(partitions=2))
        client = {"reconnect.backoff.ms": 10, "reconnect.backoff.max.ms": 50}
        relay = Relay(database, Kafka(bootstrap_servers=broker.bootstrap_servers, client=client), RelayConfig(batch=50))
        relay._backoff = Backoff(first=0.01, cap=0.05)
        with running(relay):
            for size in range(0, 2000, STEP):
                kafka_cut.cut_after(broker.link, "downstream", size, traffic)
            traffic.judge()
            for size in (*range(0, 2000, STEP), *range(2000, 30_000, 997)):
                kafka_cut.cut_after(broker.link, "upstream", size, traffic)
        traffic.judge()
