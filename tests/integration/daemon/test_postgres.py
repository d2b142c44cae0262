"""Connections with their settings in force on the server."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import Connection, Cursor
from psycopg.conninfo import make_conninfo
from psycopg.pq import TransactionStatus

from tests.integration.toxiproxy import Proxy, through
from tests.waiting import eventually
from txbox.daemon import Database, Link, connect


def shown(conn: Connection[Any], name: str) -> str:
    row = conn.execute(f"SHOW {name}".encode()).fetchone()
    assert row is not None
    return str(row[0])


def shown_by(conn: Connection[Any], question: LiteralString) -> bool:
    row = conn.execute(question).fetchone()
    assert row is not None
    return bool(row[0])


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


@pytest.fixture
def ahead(database: Database) -> Iterator[Link[Any]]:
    """A connection on which statements are sent before their results are wanted."""
    with closing(connect(Link[Any], database, "ahead")) as link:
        yield link


def send(link: Link[Any], statement: LiteralString) -> Cursor[Any]:
    with link.sending():
        return link.cursor().execute(statement)


def test_what_is_sent_runs_while_nobody_waits(ahead: Link[Any], conn: Connection[Any]) -> None:
    send(ahead, "CREATE TABLE sent (n int)")
    eventually(lambda: shown_by(conn, "SELECT to_regclass('sent') IS NOT NULL"))


def test_sending_waits_for_no_result(ahead: Link[Any], conn: Connection[Any]) -> None:
    with conn.transaction():
        conn.execute("SELECT pg_advisory_xact_lock(7)")
        held_up = send(ahead, "SELECT pg_advisory_xact_lock(7), 'sent'")
    ahead.receive()
    assert held_up.fetchall() == [("", "sent")]


def test_what_else_is_executed_receives_it_first(ahead: Link[Any]) -> None:
    first = send(ahead, "SELECT 1")
    second = send(ahead, "SELECT 2")
    with ahead.transaction():
        assert shown_by(ahead, "SELECT pg_current_xact_id_if_assigned() IS NULL")
        third = send(ahead, "SELECT 3")
    ahead.receive()
    assert [cursor.fetchall() for cursor in (first, second, third)] == [[(1,)], [(2,)], [(3,)]]
    assert ahead.info.transaction_status is TransactionStatus.IDLE


def test_an_error_of_what_was_sent_is_told_once_and_the_session_goes_on(ahead: Link[Any]) -> None:
    send(ahead, "SELECT 1 / 0")
    with pytest.raises(psycopg.errors.DivisionByZero):
        ahead.receive()
    send(ahead, "SELECT 1 / 0")
    with pytest.raises(psycopg.errors.DivisionByZero):
        ahead.execute("SELECT 1")
    ahead.receive()
    assert shown_by(ahead, "SELECT true")


def test_a_statement_that_cannot_be_sent_leaves_nothing_to_receive(ahead: Link[Any]) -> None:
    with ahead.sending(), pytest.raises(psycopg.ProgrammingError):
        ahead.execute("SELECT %s", ())
    ahead.receive()
    assert shown_by(ahead, "SELECT true")


def test_a_result_that_is_larger_than_what_the_kernel_keeps_is_received_whole(ahead: Link[Any]) -> None:
    large = send(ahead, "SELECT n, repeat('x', 1000) FROM generate_series(1, 20000) AS n")
    ahead.execute("SELECT 1")
    assert [n for n, _ in large.fetchall()] == list(range(1, 20001))


def test_a_server_that_is_silent_about_what_was_sent_is_given_up(link: Link[Any], postgres_link: Proxy) -> None:
    with postgres_link.silence():
        send(link, "SELECT 1")
        with pytest.raises(psycopg.OperationalError, match="has not answered for 1 s"):
            link.receive()
    assert link.closed


def test_a_session_that_ends_after_something_was_sent_is_an_operational_error(
    ahead: Link[Any], conn: Connection[Any]
) -> None:
    send(ahead, "SELECT pg_sleep(60)")
    conn.execute("SELECT pg_terminate_backend(%s)", (ahead.info.backend_pid,))
    with pytest.raises(psycopg.OperationalError):
        ahead.execute("SELECT 1")
    assert ahead.closed
