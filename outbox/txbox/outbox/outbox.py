"""Write messages in the caller's transaction."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple
from typing import TYPE_CHECKING
from uuid import UUID

from txbox.outbox.connections import join, join_async
from txbox.outbox.message import Message, Row
from txbox.schema import Statements

if TYPE_CHECKING:
    from txbox.outbox.connections import AsyncJoinable, Joinable

__all__ = ["Outbox"]


class Outbox:
    """Writes messages into the outbox table, in a transaction that the caller begins and ends.

    A message is published if and only if that transaction commits. It holds no connection: make one at import time
    and share it between threads.

    schema: where the tables are. max_payload: bytes, encoded; Kafka takes about 1 MB a record unless told otherwise.
    lock_keys: take a lock on each (topic, key) until the transaction ends, so that messages of one key are published
    in the order in which they were added even when the writers lock no row of their own. Without it that order holds
    for writers which lock something of the key (e.g. the order's row) before they add the message.
    """

    def __init__(self, *, schema: str = "txbox", max_payload: int = 900_000, lock_keys: bool = False) -> None:
        self._statements = Statements(__package__, "outbox.sql", schema)
        self._max_payload = max_payload
        self._lock_keys = lock_keys

    def add(self, conn: "Joinable", message: Message) -> UUID:
        """Write one message in `conn`'s transaction and return its id. One statement; nothing is committed.

        `conn` is psycopg's, SQLAlchemy's (Session, scoped_session, Connection), Django's or psycopg2's. A Session is
        flushed first. Raises the errors of `txbox.outbox.errors`, all of them before anything is written.
        """
        execute = join(conn)
        row = Row.of(message, self._max_payload)
        for statement, parameters in self._one(row):
            execute(statement, parameters)
        return row.id

    def add_many(self, conn: "Joinable", messages: Iterable[Message]) -> list[UUID]:
        """Write messages, in order, with one statement, and return their ids. Nothing is committed.

        All are written or none: a message that is refused is refused before anything is written.
        Raises the errors of `txbox.outbox.errors`.
        """
        execute = join(conn)
        rows = [Row.of(message, self._max_payload) for message in messages]
        for statement, parameters in self._many(rows):
            execute(statement, parameters)
        return [row.id for row in rows]

    async def aadd(self, conn: "AsyncJoinable", message: Message) -> UUID:
        """Do what `add` does, for async code.

        `conn` is psycopg's (AsyncConnection), SQLAlchemy's (AsyncSession, AsyncConnection) or asyncpg's.
        """
        execute = join_async(conn)
        row = Row.of(message, self._max_payload)
        for statement, parameters in self._one(row):
            await execute(statement, parameters)
        return row.id

    async def aadd_many(self, conn: "AsyncJoinable", messages: Iterable[Message]) -> list[UUID]:
        """Do what `add_many` does, on a connection as `aadd` takes it."""
        execute = join_async(conn)
        rows = [Row.of(message, self._max_payload) for message in messages]
        for statement, parameters in self._many(rows):
            await execute(statement, parameters)
        return [row.id for row in rows]

    def _one(self, row: Row) -> Iterator[tuple[bytes, Sequence[object]]]:
        """Yield the statements that write one message, and their parameters."""
        yield from self._locks((row,))
        yield self._statements["add"], astuple(row)

    def _many(self, rows: Sequence[Row]) -> Iterator[tuple[bytes, Sequence[object]]]:
        """Yield the statements that write messages, and their parameters."""
        if rows:
            yield from self._locks(rows)
            yield self._statements["add_many"], [list(column) for column in zip(*map(astuple, rows), strict=True)]

    def _locks(self, rows: Sequence[Row]) -> Iterator[tuple[bytes, Sequence[object]]]:
        keyed = [row for row in rows if row.aggregateid is not None] if self._lock_keys else []
        if keyed:
            yield self._statements["lock_keys"], [[_lock_of(row) for row in keyed]]


def _lock_of(row: Row) -> int:
    """Return the advisory lock of a row's topic and key; two keys that share one by chance only wait for each other."""
    text = f"txbox key {row.topic or row.aggregatetype} {row.aggregateid}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), signed=True)
