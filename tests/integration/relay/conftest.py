"""A session with a transaction open; and servers of a test's own, where the session's must not be copied or lost."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.integration.sandbox.conftest import open_folder
from tests.integration.standby import server
from txbox.sandbox.postgres import Postgres
from txbox.schema import migrate

__all__ = ["open_folder"]


@pytest.fixture
def primary(open_folder: Path, pytestconfig: pytest.Config) -> Iterator[Postgres]:
    """A PostgreSQL that is this test's alone; its database postgres has the tables."""
    programs = pytestconfig.getoption("--postgres")
    with server(open_folder / "primary", Path(programs) if programs else None) as one:
        with psycopg.connect(one.url, autocommit=True) as conn:
            migrate(conn)
        yield one


@pytest.fixture
def writer(txbox_database: str) -> Iterator[psycopg.Connection[Any]]:
    """A session with a transaction open."""
    with psycopg.connect(txbox_database, autocommit=True) as conn:
        conn.execute("BEGIN")
        yield conn
