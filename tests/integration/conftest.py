"""What integration tests share: topics, rows in the outbox, a relay that runs once."""

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
import pytest
from confluent_kafka.admin import AdminClient

from tests.integration.topics import Topics
from tests.integration.toxiproxy import NoToxiproxy, Proxy, Toxiproxy
from txbox.daemon import Database, Kafka
from txbox.outbox import Message, Outbox
from txbox.relay import Relay, RelayConfig
from txbox.sandbox import Sandbox
from txbox.sandbox.servers import Servers

#: adds messages and commits them
Publish = Callable[..., list[UUID]]


@pytest.fixture(scope="session")
def admin(txbox_servers: Servers) -> AdminClient:
    return AdminClient({"bootstrap.servers": txbox_servers.bootstrap_servers, "log_level": 0})


@pytest.fixture
def topics(admin: AdminClient, txbox_servers: Servers, txbox_topic: str) -> Topics:
    """Topics whose names no other test has."""
    return Topics(admin, txbox_servers.bootstrap_servers, txbox_topic)


@pytest.fixture
def topic(topics: Topics) -> str:
    """A topic of one partition: its order is that of its messages."""
    return topics.make()


@pytest.fixture
def publish(conn: psycopg.Connection) -> Publish:
    """Add messages in one transaction, which commits."""

    def add(*messages: Message) -> list[UUID]:
        with conn.transaction():
            return Outbox().add_many(conn, messages)

    return add


@pytest.fixture
def relay_once(database: Database, kafka: Kafka) -> Callable[..., Relay]:
    """Publish what is visible, as `txbox relay run --once` does; keywords are RelayConfig's."""

    def run(**config: object) -> Relay:
        relay = Relay(database, kafka, RelayConfig(**config))  # type: ignore[arg-type]
        relay.run(once=True)
        return relay

    return run


@pytest.fixture
def sandbox(txbox_sandbox: Sandbox | None) -> Sandbox:
    """The servers, to be stopped and started; tests that need it skip on servers that are not ours."""
    if txbox_sandbox is None:
        pytest.skip("the servers are not ours to stop: TXBOX_TEST_DATABASE_URL and TXBOX_TEST_KAFKA, or Docker's")
    return txbox_sandbox


@pytest.fixture(scope="session")
def toxiproxy() -> Iterator[Toxiproxy]:
    """The session's toxiproxy-server."""
    try:
        with Toxiproxy.running() as server:
            yield server
    except NoToxiproxy as error:
        pytest.skip(str(error))


@pytest.fixture
def postgres_link(toxiproxy: Toxiproxy, database: Database) -> Iterator[Proxy]:
    """A way to the test's PostgreSQL that can be cut."""
    with toxiproxy.proxy(urlsplit(database.url).port or 5432) as proxy:
        yield proxy
