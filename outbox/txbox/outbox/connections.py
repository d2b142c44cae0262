"""Whose transaction it is: from what the caller hands over to a way to execute statements in that transaction.

What is not psycopg's is known by the name of its class, or of one that this derives from: no framework is imported
here, and a service that uses none needs none.
"""

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import count
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import UUID

from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from txbox.outbox.errors import NotInTransaction, TransactionFailed, UnknownConnection

if TYPE_CHECKING:
    import asyncpg
    import asyncpg.pool
    import psycopg
    import psycopg2.extensions
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.utils.connection import ConnectionProxy
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session
    from sqlalchemy.orm import Session, scoped_session

    Joinable = (
        psycopg.Connection[Any]
        | psycopg.Cursor[Any]
        | Session
        | scoped_session[Any]
        | Connection
        | BaseDatabaseWrapper
        | ConnectionProxy[Any]
        | psycopg2.extensions.connection
    )
    AsyncJoinable = (
        psycopg.AsyncConnection[Any]
        | psycopg.AsyncCursor[Any]
        | AsyncSession
        | async_scoped_session[Any]
        | AsyncConnection
        | asyncpg.Connection[Any]
        | asyncpg.pool.PoolConnectionProxy[Any]
    )

__all__ = ["AsyncExecute", "AsyncJoinable", "Execute", "Joinable", "join", "join_async"]

#: executes a statement that has %s for each parameter
Execute = Callable[[bytes, Sequence[object]], object]
AsyncExecute = Callable[[bytes, Sequence[object]], Awaitable[object]]
T = TypeVar("T")

#: SQLAlchemy's drivers whose way of binding is known
_DRIVERS: Final = {"psycopg", "psycopg_async", "psycopg2", "asyncpg"}
_FAILED: Final = "25P02"


def join(given: "Joinable") -> Execute:
    """Return how to execute statements in the caller's transaction; a cursor that was given keeps its results.

    Raises UnknownConnection, NotInTransaction, TransactionFailed.
    """
    way = _way(given.__class__, _WAYS)  # what a proxy of a tracing library says that it is
    if way is None:
        mend = "it is for async code: await outbox.aadd(...)" if _way(given.__class__, _ASYNC_WAYS) else None
        raise UnknownConnection(given, mend)
    return way(given)


def join_async(given: "AsyncJoinable") -> AsyncExecute:
    """Do the same for connections that are awaited. SQLAlchemy's are looked at when the first statement is executed."""
    way = _way(given.__class__, _ASYNC_WAYS)
    if way is None:
        mend = "its transactions are no async ones: call outbox.add(...)" if _way(given.__class__, _WAYS) else None
        raise UnknownConnection(given, mend)
    return way(given)


def _way(kind: type, ways: Mapping[str, T]) -> T | None:
    """Return the way that a class, or the next of its bases, has."""
    return next((ways[name] for name in _names(kind) if name in ways), None)


@cache
def _names(kind: type) -> tuple[str, ...]:
    return tuple(f"{base.__module__}.{base.__qualname__}" for base in kind.__mro__)


def _psycopg(conn: "psycopg.Connection[Any]") -> Execute:
    if conn.closed:
        raise UnknownConnection(conn, "it is closed")
    _check(conn.autocommit, conn.info.transaction_status)
    return conn.cursor(row_factory=tuple_row).execute


def _async_psycopg(conn: "psycopg.AsyncConnection[Any]") -> AsyncExecute:
    if conn.closed:
        raise UnknownConnection(conn, "it is closed")
    _check(conn.autocommit, conn.info.transaction_status, "async with conn.transaction(): ...")
    return conn.cursor(row_factory=tuple_row).execute


def _psycopg2(conn: "psycopg2.extensions.connection") -> Execute:
    if conn.closed:
        raise UnknownConnection(conn, "it is closed")
    _check(conn.autocommit, conn.info.transaction_status, "conn.autocommit = False, and conn.commit()")

    def execute(statement: bytes, parameters: Sequence[object]) -> None:
        with conn.cursor() as cursor:
            cursor.execute(statement, _plain(parameters))

    return execute


def _asyncpg(conn: "asyncpg.Connection[Any]") -> AsyncExecute:
    if conn.is_closed():
        raise UnknownConnection(conn, "it is closed")
    _check(True, _status(conn), "async with conn.transaction(): ...")

    async def execute(statement: bytes, parameters: Sequence[object]) -> None:
        with _failure_told():
            await conn.execute(_numbered(statement), *parameters)

    return execute


def _session(session: "Session") -> Execute:
    """Objects that are not written yet are written first: a message tells of what is there."""
    if not session.is_active:
        raise TransactionFailed("with session.begin_nested(): ...")
    execute = _sqlalchemy(session.connection())

    def flush_and_execute(statement: bytes, parameters: Sequence[object]) -> None:
        session.flush()
        execute(statement, parameters)

    return flush_and_execute


def _sqlalchemy(connection: "Connection") -> Execute:
    dialect = connection.dialect
    if connection.closed:
        raise UnknownConnection(connection, "it is closed")
    if dialect.name != "postgresql" or dialect.driver not in _DRIVERS:
        raise UnknownConnection(connection, f"{dialect.name}+{dialect.driver} is not one of postgresql+{_DRIVERS}")
    if connection.invalidated:
        raise TransactionFailed("with session.begin_nested(): ...")
    pooled = connection.connection
    _check(
        bool(getattr(pooled.dbapi_connection, "autocommit", False)),
        _status(pooled.driver_connection),
        'an engine without isolation_level="AUTOCOMMIT"',
        "with session.begin_nested(): ...",
    )
    text = _numbered if dialect.driver == "asyncpg" else bytes.decode

    def execute(statement: bytes, parameters: Sequence[object]) -> None:
        with _failure_told():
            connection.exec_driver_sql(text(statement), _plain(parameters))

    return execute


def _async_sqlalchemy(given: "AsyncSession | AsyncConnection") -> AsyncExecute:
    async def execute(statement: bytes, parameters: Sequence[object]) -> None:
        await given.run_sync(lambda of_sync_code: join(of_sync_code)(statement, parameters))

    return execute


def _django(connection: "BaseDatabaseWrapper") -> Execute:
    block = "with transaction.atomic(): ..."
    if connection.vendor != "postgresql":
        raise UnknownConnection(connection, f"its database is {connection.vendor}, not PostgreSQL")
    if connection.needs_rollback:
        raise TransactionFailed(block)
    if not connection.in_atomic_block and connection.get_autocommit():
        raise NotInTransaction(block)
    connection.ensure_connection()
    _check(False, _status(connection.connection), block, block)

    def execute(statement: bytes, parameters: Sequence[object]) -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement.decode(), _plain(parameters))

    return execute


_WAYS: Final[Mapping[str, Callable[[Any], Execute]]] = {
    "psycopg.Connection": _psycopg,
    "psycopg.Cursor": lambda cursor: _psycopg(cursor.connection),
    "psycopg2.extensions.connection": _psycopg2,
    "sqlalchemy.orm.session.Session": _session,
    "sqlalchemy.orm.scoping.scoped_session": lambda scoped: _session(scoped()),
    "sqlalchemy.engine.base.Connection": _sqlalchemy,
    "django.db.backends.base.base.BaseDatabaseWrapper": _django,
    "django.utils.connection.ConnectionProxy": _django,
}
_ASYNC_WAYS: Final[Mapping[str, Callable[[Any], AsyncExecute]]] = {
    "psycopg.AsyncConnection": _async_psycopg,
    "psycopg.AsyncCursor": lambda cursor: _async_psycopg(cursor.connection),
    "asyncpg.connection.Connection": _asyncpg,
    "asyncpg.pool.PoolConnectionProxy": _asyncpg,
    "sqlalchemy.ext.asyncio.session.AsyncSession": _async_sqlalchemy,
    "sqlalchemy.ext.asyncio.scoping.async_scoped_session": lambda scoped: _async_sqlalchemy(scoped()),
    "sqlalchemy.ext.asyncio.engine.AsyncConnection": _async_sqlalchemy,
}


def _check(autocommit: bool, status: int, *blocks: str) -> None:
    """Raise if the message would be committed alone, or never; `blocks` are the mends, in the caller's own words."""
    if status == TransactionStatus.INERROR:
        raise TransactionFailed(*blocks[-1:])
    if autocommit and status == TransactionStatus.IDLE:
        raise NotInTransaction(*blocks[:1])


def _status(driver: Any) -> int:
    """Return what a driver's connection says of its transaction. asyncpg does not tell whether it has failed."""
    if hasattr(driver, "is_in_transaction"):
        return TransactionStatus.INTRANS if driver.is_in_transaction() else TransactionStatus.IDLE
    return int(driver.info.transaction_status)


@contextmanager
def _failure_told() -> Iterator[None]:
    """Raise TransactionFailed for PostgreSQL's word that it has, where the driver did not tell before."""
    try:
        yield
    except Exception as error:
        if getattr(getattr(error, "orig", error), "sqlstate", None) == _FAILED:
            raise TransactionFailed from error
        raise


@cache
def _numbered(statement: bytes) -> str:
    """Return a statement with $1, $2, ... for its %s."""
    number = count(1)
    return re.sub("%s", lambda _: f"${next(number)}", statement.decode())


def _plain(parameters: Sequence[object]) -> tuple[Any, ...]:
    """Return parameters that any driver binds; psycopg2 knows UUIDs only if it is told to."""
    return tuple(_plain_one(parameter) for parameter in parameters)


def _plain_one(parameter: object) -> object:
    match parameter:
        case UUID():
            return str(parameter)
        case list():
            return [_plain_one(item) for item in parameter]
        case _:
            return parameter
