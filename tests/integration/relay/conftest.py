"""Servers of a test's own, where the session's must not be copied, promoted or lost."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.integration.sandbox.conftest import new_open_folder
from tests.integration.standby import server
from txbox.sandbox.postgres import Postgres
from txbox.schema import migrate


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder for servers."""
    with new_open_folder() as folder:
        yield folder


@pytest.fixture
def primary(open_folder: Path, pytestconfig: pytest.Config) -> Iterator[Postgres]:
    """A PostgreSQL that is this test's alone; its database postgres has the tables."""
    programs = pytestconfig.getoption("--postgres")
    with server(open_folder / "primary", Path(programs) if programs else None) as one:
        with psycopg.connect(one.url, autocommit=True) as conn:
            migrate(conn)
        yield one
