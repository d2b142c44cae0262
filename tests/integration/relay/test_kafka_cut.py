"""A relay whose link to Kafka is cut, in every phase of its work."""

from collections.abc import Iterator

import psycopg
import pytest
from confluent_kafka import Producer

from tests.integration.proxied_broker import ProxiedBroker, proxied_broker
from tests.integration.relay.test_postgres_cut import lost_sessions, sample
from tests.integration.relay.traffic import Traffic
from tests.integration.running import running
from tests.integration.topics import Topics
from tests.integration.toxiproxy import Proxy, Stream, Toxiproxy
from tests.waiting import eventually
from txbox.daemon import Backoff, Database, Kafka
from txbox.relay import Relay, RelayConfig
from txbox.relay.publisher import Publisher

#: Bytes after which each connection is cut, upstream: in the handshake, metadata, limits of topics, producer's id, and
#: in record batches of 200 messages; downstream in the answers to them. tests/soak has all that lie between.
CUTS: dict[Stream, tuple[int, ...]] = {
    "upstream": (20, 250, 500, 1000, 20_000),
    "downstream": (20, 400, 800, 1200),
}


@pytest.fixture(scope="module")
def broker(toxiproxy: Toxiproxy) -> Iterator[ProxiedBroker]:
    with proxied_broker(toxiproxy) as broker:
        yield broker


@pytest.fixture
def traffic(database: Database, broker: ProxiedBroker, txbox_topic: str) -> Traffic:
    topics = Topics(broker.admin, broker.direct, txbox_topic)
    return Traffic(database, topics, topics.make(partitions=2))


@pytest.fixture
def relay(database: Database, broker: ProxiedBroker) -> Iterator[Relay]:
    """A relay that leads, and does not wait long after an error."""
    kafka = Kafka(
        bootstrap_servers=broker.bootstrap_servers, client={"reconnect.backoff.ms": 10, "reconnect.backoff.max.ms": 50}
    )
    relay = Relay(database, kafka, RelayConfig(batch=50))
    relay._backoff = Backoff(first=0.01, cap=0.05)
    with running(relay):
        eventually(lambda: relay.health.report().ready)
        yield relay


def cut_after(link: Proxy, stream: Stream, size: int, traffic: Traffic) -> None:
    """Let new rows meet connections that end after so many bytes; then let them pass."""
    with link.toxic("limit_data", stream, bytes=size):
        link.drop()
        enough = link.received(stream) + 3 * size + 100
        traffic.write(200)
        eventually(lambda: traffic.saved() or link.received(stream) > enough)
    traffic.settle()


@pytest.mark.parametrize("stream", CUTS)
def test_cut_after_any_number_of_bytes(broker: ProxiedBroker, relay: Relay, traffic: Traffic, stream: Stream) -> None:
    for size in CUTS[stream]:
        cut_after(broker.link, stream, size, traffic)
    traffic.judge()
    eventually(lambda: relay.health.report().ready)


@pytest.fixture
def producers(monkeypatch: pytest.MonkeyPatch) -> list[Producer]:
    """All producers that relays make from now on, the first one first."""
    made: list[Producer] = []
    make = Publisher._make

    def noting(publisher: Publisher, batch_size: int) -> Producer:
        made.append(make(publisher, batch_size))
        return made[-1]

    monkeypatch.setattr(Publisher, "_make", noting)
    return made


def test_what_was_not_acked_is_dropped_with_its_session(
    producers: list[Producer], broker: ProxiedBroker, relay: Relay, traffic: Traffic, conn: psycopg.Connection
) -> None:
    traffic.write(10)
    traffic.settle()
    broker.link.cut()
    traffic.write(300)
    eventually(lambda: sample(relay, "relay_in_flight_messages") == 300)
    conn.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'txbox relay default' AND datname = current_database()"
    )
    eventually(lambda: lost_sessions(relay) == 1)
    assert len(producers[0]) == 0, "it would send what it has left, who knows when"
    broker.link.mend()
    traffic.settle()
    traffic.write(10)
    traffic.settle()
    assert traffic.judge() == 0


def test_what_was_not_acked_when_it_had_to_end_is_not_saved(
    broker: ProxiedBroker, database: Database, traffic: Traffic
) -> None:
    kafka = Kafka(bootstrap_servers=broker.bootstrap_servers)
    relay = Relay(database, kafka, RelayConfig(drain_timeout=0.5))
    with running(relay):
        traffic.write(10)
        traffic.settle()
        broker.link.cut()
        traffic.write(50)
        eventually(lambda: sample(relay, "relay_in_flight_messages") == 50)
    assert not traffic.saved()
    broker.link.mend()
    Relay(database, kafka).run(once=True)
    assert traffic.judge() == 0
