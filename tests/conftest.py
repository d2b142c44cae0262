"""What all tests share: the servers, a database a test, and ways to wait for a condition."""

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import settings

from txbox.daemon import Database, Kafka
from txbox.sandbox.servers import Servers
from txbox.schema import migrate

pytest_plugins = ["txbox.sandbox.pytest_plugin"]

# How long an example takes says more of the machine than of the code.
settings.register_profile("txbox", deadline=None)
settings.load_profile("txbox")

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def txbox_prepare() -> Callable[[str], None]:
    """Every test's database has the tables."""

    def prepare(url: str) -> None:
        with psycopg.connect(url, autocommit=True) as conn:
            migrate(conn)

    return prepare


@pytest.fixture
def database(txbox_database: str) -> Database:
    """The test's own database, migrated."""
    return Database(url=txbox_database)


@pytest.fixture
def kafka(txbox_servers: Servers) -> Kafka:
    """The session's broker."""
    return Kafka(bootstrap_servers=txbox_servers.bootstrap_servers)


@pytest.fixture
def conn(txbox_database: str) -> Iterator[psycopg.Connection]:
    """An autocommit connection to the test's own database."""
    with psycopg.connect(txbox_database, autocommit=True) as conn:
        yield conn
