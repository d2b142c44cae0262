"""A doctor, and what it finds."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from psycopg import Connection

from tests.integration.relay.conftest import open_folder
from tests.integration.schema.roles import users
from txbox.daemon import Database, Kafka
from txbox.doctor import Doctor, Finding, examine
from txbox.relay import RelayConfig

__all__ = ["open_folder"]

#: what each check finds, by its name
Look = Callable[..., Mapping[str, Finding]]


@pytest.fixture
def urls(conn: Connection) -> Iterator[Mapping[str, str]]:
    """The roles, and a user for each."""
    with users(conn) as urls:
        yield urls


@pytest.fixture
def look(database: Database, kafka: Kafka) -> Look:
    """Examine the test's database and the session's broker, or others."""

    def look(
        *topics: str,
        url: str | None = None,
        servers: str | None = None,
        client: Mapping[str, Any] | None = None,
        probe: bool = False,
        doctor: Mapping[str, Any] | None = None,
        **config: Any,
    ) -> Mapping[str, Finding]:
        here = replace(database, url=url or database.url)
        there = Kafka(bootstrap_servers=servers or kafka.bootstrap_servers, client=client or {})
        with Doctor(
            lambda: here, lambda: there, RelayConfig(**config), topics=topics, **{"patience": 2.0, **(doctor or {})}
        ) as one:
            return dict(examine(one.checks(probe=probe)))

    return look
