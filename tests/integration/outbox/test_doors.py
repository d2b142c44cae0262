"""Whoever's transaction it is, the outbox's promises are the same."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from uuid import uuid4

import asyncpg
import psycopg
import pytest
import sqlalchemy
from django.db.utils import ConnectionHandler
from psycopg import Connection
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session

from tests.integration.frameworks import TABLE, Order, sqlalchemy_url
from tests.integration.outbox.doors import ASYNC_DOORS, DOORS, Door, all_doors
from tests.integration.outbox.test_outbox import message, types
from tests.waiting import eventually
from txbox.daemon import Database
from txbox.outbox import Message, NotInTransaction, Outbox, TransactionFailed, UnknownConnection

Opened = Callable[..., Door]


@pytest.fixture(params=list(all_doors()))
def opened(request: pytest.FixtureRequest, database: Database) -> Iterator[Opened]:
    """Opens a transaction of each kind; or none."""
    doors: list[Door] = []

    def open_(*, autocommit: bool = False) -> Door:
        doors.append(all_doors()[request.param](database.url, autocommit))
        return doors[-1]

    yield open_
    for door in doors:
        door.close()


@pytest.fixture
def door(opened: Opened) -> Door:
    return opened()


def test_every_column_is_stored_as_psycopg_stores_it_if_the_transaction_commits(
    door: Door, conn: Connection, database: Database
) -> None:
    given = [
        message("Text", payload={"a": "ü\\ \" ' % %s $1 :x 😀"}, key="ü'\\", headers={"h": "ö\\", "raw": b"\0\xff"}),
        message("Bytes", payload=bytes(range(256)), key=uuid4(), id=uuid4()),
        message("Gone", payload=None),
        Message("Routed", [None], aggregate="order", key=0),
    ]
    ids = [*door.add(Outbox(), *given), *(id_ for one in given for id_ in door.add(Outbox(), one))]
    assert types(conn) == []
    door.commit()
    select = "SELECT id, type, payload, headers, aggregateid, aggregatetype, topic FROM txbox.outbox ORDER BY seq"
    rows = conn.execute(select).fetchall()
    assert [row[0] for row in rows] == ids
    with psycopg.connect(database.url) as plain:
        Outbox().add_many(plain, [*given, *given])
        expected = plain.execute(select).fetchall()[len(rows) :]
        plain.rollback()
    assert [row[1:] for row in rows] == [row[1:] for row in expected]


def test_a_rolled_back_message_is_gone(door: Door, conn: Connection) -> None:
    door.add(Outbox(lock_keys=True), message(key=1))
    door.rollback()
    assert types(conn) == []


def test_outside_a_transaction_nothing_is_written(opened: Opened, conn: Connection) -> None:
    with pytest.raises(NotInTransaction, match=r"AUTOCOMMIT|with .*: \.\.\.|autocommit = False"):
        opened(autocommit=True).add(Outbox(), message())
    assert types(conn) == []


def test_a_failed_transaction_is_told(door: Door) -> None:
    with suppress(Exception):
        door.execute("SELECT 1/0")
    with pytest.raises(TransactionFailed):
        door.add(Outbox(), message())


def test_writers_of_one_key_take_turns(opened: Opened, conn: Connection, database: Database) -> None:
    first = opened()
    first.add(Outbox(lock_keys=True), message("First", key=1))
    with psycopg.connect(database.url) as second, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(Outbox(lock_keys=True).add, second, message("Second", key=1))
        blocked = "SELECT pg_blocking_pids(%s) <> '{}'"
        eventually(lambda: conn.execute(blocked, (second.info.backend_pid,)).fetchone() == (True,))
        first.commit()
        waiting.result(20)
    assert types(conn) == ["First", "Second"]


@pytest.mark.parametrize("kind", DOORS)
def test_a_sync_connection_is_not_awaited(kind: str, database: Database) -> None:
    door = DOORS[kind](database.url, False)
    try:
        with pytest.raises(UnknownConnection, match=r"outbox\.add\("):
            asyncio.run(Outbox().aadd(door.given, message()))
    finally:
        door.close()


@pytest.mark.parametrize("kind", ASYNC_DOORS)
def test_an_async_connection_is_awaited(kind: str, database: Database) -> None:
    door = ASYNC_DOORS[kind](database.url, False)
    try:
        with pytest.raises(UnknownConnection, match=r"await outbox\.aadd\("):
            Outbox().add(door.given, message())
    finally:
        door.close()


@pytest.fixture
def engine(database: Database, conn: Connection) -> Iterator[sqlalchemy.Engine]:
    conn.execute(TABLE)
    engine = sqlalchemy.create_engine(sqlalchemy_url(database.url, "psycopg"))
    yield engine
    engine.dispose()


def test_what_is_no_transaction_is_told_so(engine: sqlalchemy.Engine, database: Database) -> None:
    sqlite = ConnectionHandler({"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}})["default"]
    with engine.connect() as closed:
        pass
    other = sqlalchemy.create_engine("sqlite://")
    for nothing in (engine, sqlite, closed, Session(other), other.connect(), None, object(), "postgresql://"):
        with pytest.raises(UnknownConnection):
            Outbox().add(nothing, message())  # type: ignore[arg-type]
    other.dispose()

    async def lose() -> None:
        async_engine = create_async_engine(sqlalchemy_url(database.url, "asyncpg"))
        lost = await asyncpg.connect(database.url)
        await lost.close()
        for nothing in (async_engine, lost, None):
            with pytest.raises(UnknownConnection):
                await Outbox().aadd(nothing, message())  # type: ignore[arg-type]
        await async_engine.dispose()

    asyncio.run(lose())


def test_what_a_session_has_not_written_is_written_first(engine: sqlalchemy.Engine, conn: Connection) -> None:
    with Session(engine, autoflush=False) as session, session.begin():
        session.add(Order(id=1, note="bad"))
        with pytest.raises(IntegrityError):
            Outbox().add(session, message())
        with pytest.raises(TransactionFailed, match="begin_nested"):
            Outbox().add(session, message())
        session.rollback()
    with Session(engine, autoflush=False) as session, session.begin():
        session.add(Order(id=1))
        Outbox().add(session, message("Order"))
        with session.begin_nested() as part:
            session.add(Order(id=2))
            Outbox().add(session, message("Part"))
            part.rollback()
        assert session.connection().exec_driver_sql("SELECT xmin FROM orders").fetchall()
    assert types(conn) == ["Order"]


def test_a_lost_session_is_told_by_sqlalchemy(engine: sqlalchemy.Engine, conn: Connection) -> None:
    """Its pool must know of it."""
    with Session(engine) as session:
        pid = session.connection().exec_driver_sql("SELECT pg_backend_pid()").scalar()
        conn.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
        with pytest.raises(sqlalchemy.exc.OperationalError):
            Outbox().add(session, message())
        session.rollback()
        Outbox().add(session, message())
        session.commit()
    assert types(conn) == ["T"]


def test_what_a_service_told_its_driver_about_jsonb_does_not_matter(database: Database, conn: Connection) -> None:
    async def add() -> None:
        asyncpg_conn = await asyncpg.connect(database.url)
        await asyncpg_conn.set_type_codec("jsonb", schema="pg_catalog", encoder=repr, decoder=repr)
        await asyncpg_conn.set_type_codec("uuid", schema="pg_catalog", encoder=str, decoder=str)
        async with asyncpg_conn.transaction():
            await Outbox().aadd(asyncpg_conn, message(headers={"a": "b"}))
            await Outbox().aadd_many(asyncpg_conn, [message(headers={"a": "b"})])
        await asyncpg_conn.close()

    asyncio.run(add())
    assert conn.execute("SELECT headers FROM txbox.outbox").fetchall() == [({"a": "b"},), ({"a": "b"},)]


def test_no_framework_is_imported_by_the_outbox() -> None:
    frameworks = {"sqlalchemy", "django", "asyncpg", "psycopg2", "pydantic"}
    code = f"import sys, txbox.outbox, txbox.consumer; sys.exit(len({frameworks} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
