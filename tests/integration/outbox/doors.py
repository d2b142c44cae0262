"""Every way into somebody's transaction, in one form, so that a test of a promise runs for all of them."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
import psycopg
import psycopg2
import sqlalchemy
from django.db import connection, transaction
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlalchemy.pool import NullPool

from tests.integration.frameworks import django_database, sqlalchemy_url
from txbox.outbox import Message, Outbox

__all__ = ["ASYNC_DOORS", "DOORS", "Door", "all_doors"]


class Door(ABC):
    """A transaction of somebody's."""

    #: what is given to the outbox
    given: Any

    def add(self, outbox: Outbox, *messages: Message) -> Sequence[UUID]:
        if len(messages) == 1:
            return [outbox.add(self.given, messages[0])]
        return outbox.add_many(self.given, messages)

    @abstractmethod
    def execute(self, statement: str) -> None: ...
    def commit(self) -> None:
        self.given.commit()

    def rollback(self) -> None:
        self.given.rollback()

    def close(self) -> None:
        self.given.close()


class Plain(Door):
    """psycopg and psycopg2."""

    def __init__(self, connect: Callable[..., Any], url: str, autocommit: bool) -> None:
        self.given = connect(url)
        self.given.autocommit = autocommit

    def execute(self, statement: str) -> None:
        self.given.cursor().execute(statement)


class SqlAlchemy(Door):
    """Session, scoped_session, Connection; any driver."""

    def __init__(self, driver: str, kind: Callable[[Any], Any], url: str, autocommit: bool) -> None:
        options = {"isolation_level": "AUTOCOMMIT"} if autocommit else {}
        self._engine = sqlalchemy.create_engine(sqlalchemy_url(url, driver), poolclass=NullPool, **options)
        self.given = kind(self._engine)

    def execute(self, statement: str) -> None:
        self.given.execute(text(statement))

    def close(self) -> None:
        self.given.close()
        self._engine.dispose()


class Django(Door):
    """django.db.connection."""

    given = connection

    def __init__(self, url: str, autocommit: bool) -> None:
        self._database = django_database(url)
        self._database.__enter__()
        self._atomic = None if autocommit else transaction.atomic()
        if self._atomic:
            self._atomic.__enter__()

    def execute(self, statement: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement)

    def commit(self) -> None:
        self._end()

    def rollback(self) -> None:
        if self._atomic:
            transaction.set_rollback(True)
        self._end()

    def close(self) -> None:
        self.rollback()
        self._database.__exit__(None, None, None)

    def _end(self) -> None:
        if self._atomic:
            self._atomic.__exit__(None, None, None)
        self._atomic = None


class AsyncDoor(Door):
    """What is awaited, on a loop of its own."""

    def __init__(self, open_: Callable[[str, bool], Awaitable[Any]], url: str, autocommit: bool) -> None:
        self._loop = asyncio.Runner()
        self.run = lambda what: self._loop.run(_awaited(what))
        self.given = self.run(open_(url, autocommit))

    def add(self, outbox: Outbox, *messages: Message) -> Sequence[UUID]:
        if len(messages) == 1:
            return [self.run(outbox.aadd(self.given, messages[0]))]
        ids: list[UUID] = self.run(outbox.aadd_many(self.given, messages))
        return ids

    def execute(self, statement: str) -> None:
        self.run(self.given.execute(statement))

    def commit(self) -> None:
        self.run(self.given.commit())

    def rollback(self) -> None:
        self.run(self.given.rollback())

    def close(self) -> None:
        self.run(self.given.close())
        self._loop.close()


class AsyncSqlAlchemy(AsyncDoor):
    """AsyncSession, AsyncConnection."""

    def __init__(self, driver: str, kind: Callable[[Any], Any], url: str, autocommit: bool) -> None:
        async def open_(url: str, autocommit: bool) -> Any:
            options = {"isolation_level": "AUTOCOMMIT"} if autocommit else {}
            self._engine = create_async_engine(sqlalchemy_url(url, driver), poolclass=NullPool, **options)
            given = kind(self._engine)
            return await given if hasattr(given, "__await__") else given

        super().__init__(open_, url, autocommit)

    def execute(self, statement: str) -> None:
        self.run(self.given.execute(text(statement)))

    def close(self) -> None:
        self.run(self.given.close())
        self.run(self._engine.dispose())
        self._loop.close()


class Asyncpg(AsyncDoor):
    """asyncpg's connection, of a pool or not."""

    def __init__(self, pooled: bool, url: str, autocommit: bool) -> None:
        async def open_(url: str, autocommit: bool) -> Any:
            if pooled:
                self._pool = await asyncpg.create_pool(url, min_size=1, max_size=1)
                given: Any = await self._pool.acquire()
            else:
                given = await asyncpg.connect(url)
            self._transaction = given.transaction()
            if not autocommit:
                await self._transaction.start()
            return given

        self._pooled = pooled
        super().__init__(open_, url, autocommit)

    def commit(self) -> None:
        self.run(self._transaction.commit())

    def rollback(self) -> None:
        self.run(self._transaction.rollback())

    def close(self) -> None:
        if self._pooled:
            self.run(self._pool.release(self.given))
            self.run(self._pool.close())
            self._loop.close()
        else:
            super().close()


async def _awaited(what: Awaitable[Any]) -> Any:
    return await what


async def _psycopg(url: str, autocommit: bool) -> Any:
    return await psycopg.AsyncConnection.connect(url, autocommit=autocommit)


#: opens one: (url, autocommit)
Open = Callable[[str, bool], Door]

DOORS: dict[str, Open] = {
    "psycopg": partial(Plain, psycopg.connect),
    "psycopg2": partial(Plain, psycopg2.connect),
    "Session, psycopg": partial(SqlAlchemy, "psycopg", Session),
    "Session, psycopg2": partial(SqlAlchemy, "psycopg2", Session),
    "scoped_session": partial(SqlAlchemy, "psycopg", lambda engine: scoped_session(sessionmaker(engine))),
    "Connection, psycopg": partial(SqlAlchemy, "psycopg", sqlalchemy.Engine.connect),
    "Connection, psycopg2": partial(SqlAlchemy, "psycopg2", sqlalchemy.Engine.connect),
    "Django": Django,
}
ASYNC_DOORS: dict[str, Open] = {
    "AsyncConnection of psycopg": partial(AsyncDoor, _psycopg),
    "AsyncSession, psycopg": partial(AsyncSqlAlchemy, "psycopg", AsyncSession),
    "AsyncSession, asyncpg": partial(AsyncSqlAlchemy, "asyncpg", AsyncSession),
    "AsyncConnection, psycopg": partial(AsyncSqlAlchemy, "psycopg", lambda engine: engine.connect()),
    "AsyncConnection, asyncpg": partial(AsyncSqlAlchemy, "asyncpg", lambda engine: engine.connect()),
    "async_scoped_session": partial(
        AsyncSqlAlchemy,
        "asyncpg",
        lambda engine: async_scoped_session(async_sessionmaker(engine), scopefunc=lambda: None),
    ),
    "asyncpg": partial(Asyncpg, False),
    "asyncpg, of a pool": partial(Asyncpg, True),
}


def all_doors() -> dict[str, Open]:
    return {**DOORS, **ASYNC_DOORS}
