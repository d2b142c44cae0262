"""Fixtures for tests against a real PostgreSQL and a real Kafka.

In tests/conftest.py:

    pytest_plugins = ["txbox.sandbox.pytest_plugin"]

    @pytest.fixture(scope="session")
    def txbox_prepare() -> Callable[[str], None]:
        return run_my_migrations  # takes the URL of the database that all tests' databases are copied from

TXBOX_TEST_DATABASE_URL and TXBOX_TEST_KAFKA, both, name servers to use instead; TXBOX_SANDBOX=docker makes them
containers. `txbox_sandbox` is None in either case, and tests that kill servers must skip.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from txbox.sandbox.containers import Containers
from txbox.sandbox.sandbox import Sandbox
from txbox.sandbox.servers import Servers

_DATABASE_URL = "TXBOX_TEST_DATABASE_URL"
_KAFKA = "TXBOX_TEST_KAFKA"
_POSTGRES = "TXBOX_TEST_POSTGRES"
_SANDBOX = "TXBOX_SANDBOX"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--postgres",
        type=Path,
        metavar="BIN",
        default=os.environ.get(_POSTGRES),
        help=f"the bin folder of the PostgreSQL to test with, instead of the wheel's [env: {_POSTGRES}]",
    )


@pytest.fixture(scope="session")
def txbox_sandbox(pytestconfig: pytest.Config) -> Iterator[Sandbox | None]:
    """The session's sandbox, up; None when the environment names servers that are not ours to stop, or Docker."""
    if _are_given() or os.environ.get(_SANDBOX) == "docker":
        yield None
        return
    programs = pytestconfig.getoption("--postgres")
    # Without fsync a database a test is quickly made; what kill -9 leaves in the kernel's hands is not lost by it.
    sandbox = Sandbox(postgres=Path(programs) if programs else None, fsync=False)
    with sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def txbox_servers(txbox_sandbox: Sandbox | None) -> Iterator[Servers]:
    """Where the tests' servers are."""
    if txbox_sandbox is not None:
        yield txbox_sandbox.servers()
    elif _are_given():
        yield _given_servers(os.environ[_DATABASE_URL], os.environ[_KAFKA])
    else:
        with Containers() as servers:
            yield servers


@pytest.fixture(scope="session")
def txbox_prepare() -> Callable[[str], None]:
    """Override this to fill the template database; it is called once a session, with the database's URL.

    It must close its connections: PostgreSQL copies no database that somebody is connected to.
    """
    return lambda url: None


@pytest.fixture(scope="session")
def txbox_template(txbox_servers: Servers, txbox_prepare: Callable[[str], None]) -> Iterator[str]:
    """The name of the database that `txbox_prepare` has filled and that every test's database is a copy of."""
    with _database(txbox_servers.database_url, template="template0") as url:
        txbox_prepare(url)
        yield urlsplit(url).path.removeprefix("/")


@pytest.fixture
def txbox_database(txbox_servers: Servers, txbox_template: str) -> Iterator[str]:
    """The URL of a database of the test's own. It goes with the test, whoever is still connected."""
    with _database(txbox_servers.database_url, txbox_template) as url:
        yield url


@pytest.fixture
def txbox_topic(request: pytest.FixtureRequest) -> str:
    """A name that no other test has, for a topic or in front of several."""
    readable = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:60].strip("-")
    return f"{readable}-{uuid4().hex[:8]}"


@contextmanager
def _database(server: str, template: str) -> Iterator[str]:
    """The URL of a new database, dropped afterwards."""
    name = f"txbox_test_{uuid4().hex[:12]}"
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(create.format(sql.Identifier(name), sql.Identifier(template)))
    try:
        yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    finally:
        with psycopg.connect(server, autocommit=True) as connection:  # anew: the test may have restarted the server
            connection.execute(drop.format(sql.Identifier(name)))


def _are_given() -> bool:
    return bool(os.environ.get(_DATABASE_URL) and os.environ.get(_KAFKA))


def _given_servers(database_url: str, bootstrap_servers: str) -> Servers:
    with psycopg.connect(database_url) as connection:
        version = connection.info.parameter_status("server_version") or ""
    return Servers(
        database_url=database_url,
        bootstrap_servers=bootstrap_servers,
        postgres_version=version,
        kafka_version="",
        pids={},
        dir=Path(),
    )
