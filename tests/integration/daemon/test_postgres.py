"""Connections with their settings in force on the server."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
from psycopg import Connection
from psycopg.conninfo import make_conninfo

from tests.integration.toxiproxy import Proxy, through
from txbox.daemon import Database, Link, connect


def shown(conn: Connection[Any], name: str) -> str:
    row = conn.execute(f"SHOW {name}".encode()).fetchone()
    assert row is not None
    return str(row[0])


def test_settings_are_in_force(database: Database) -> None:
    with connect(Connection, database, "relay default", {"synchronous_commit": "local", "jit": "off"}) as conn:
        assert conn.autocommit
        told = {
            name: shown(conn, name) for name in ("statement_timeout", "synchronous_commit", "jit", "application_name")
        }
    assert told == {
        "statement_timeout": "30s",
        "synchronous_commit": "local",
        "jit": "off",
        "application_name": "txbox relay default",
    }


def test_the_statement_timeout_is_the_databases_own(database: Database) -> None:
    slow = Database(url=database.url, statement_timeout=0.05)
    with connect(Connection, slow, "x") as conn, pytest.raises(psycopg.errors.QueryCanceled):
        conn.execute("SELECT pg_sleep(5)")


def test_what_the_url_says_wins(database: Database) -> None:
    url = make_conninfo(database.url, application_name="mine", connect_timeout=3, keepalives_idle=77)
    with connect(Connection, Database(url=url), "x") as conn:
        assert shown(conn, "application_name") == "mine"
        assert conn.info.get_parameters()["connect_timeout"] == "3"
        assert conn.info.get_parameters()["keepalives_idle"] == "77"


def test_a_peer_that_vanishes_is_noticed(database: Database) -> None:
    with connect(Connection, database, "x") as conn:
        parameters = conn.info.get_parameters()
    assert parameters["tcp_user_timeout"] == "10000"
    assert parameters["keepalives_idle"] == "5"


def test_the_server_notices_a_client_that_vanishes(database: Database) -> None:
    names = ("tcp_user_timeout", "tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count")
    with connect(Connection, database, "x") as conn:
        assert [shown(conn, name) for name in names] == ["10000", "5", "2", "3"]


@pytest.fixture
def link(database: Database, postgres_link: Proxy) -> Iterator[Link[Any]]:
    """A connection through a proxy, which waits half a second."""
    with closing(connect(Link[Any], Database(url=through(database.url, postgres_link)), "x")) as link:
        assert link.patience == 35, "what statement_timeout allows, and a little"
        link.patience = 0.5
        yield link


def test_a_server_that_is_silent_is_given_up(link: Link[Any], postgres_link: Proxy) -> None:
    with postgres_link.silence(), pytest.raises(psycopg.OperationalError, match="has not answered for 1 s"):
        link.execute("SELECT 1")
    assert link.closed


def test_a_transaction_ends_with_the_silence_and_is_not_waited_for_again(link: Link[Any], postgres_link: Proxy) -> None:
    def work() -> None:
        with link.transaction():
            link.execute("SELECT 1")
            with postgres_link.silence():
                link.execute("SELECT 1")

    with pytest.raises(psycopg.OperationalError, match="has not answered"):
        work()
    assert link.closed


def test_a_server_that_says_something_now_and_then_is_waited_for(link: Link[Any]) -> None:
    slow = "SELECT pg_sleep(0.1), repeat('x', 9000) FROM generate_series(1, 10)"  # more than the server keeps back
    assert len(link.execute(slow).fetchall()) == 10


def test_the_class_that_was_asked_for_is_returned(database: Database) -> None:
    class Own(Connection[Any]): ...

    with connect(Own, database, "x") as conn:
        assert isinstance(conn, Own)


def test_a_server_that_is_not_there_is_an_operational_error() -> None:
    with pytest.raises(psycopg.OperationalError):
        connect(Connection, Database(url="postgresql://127.0.0.1:1/none"), "x")
