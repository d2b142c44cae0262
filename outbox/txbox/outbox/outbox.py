"""Write messages in the caller's transaction."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from typing import Any
from uuid import UUID

from psycopg import Connection, Cursor

from txbox.outbox.connections import cursor_in_transaction
from txbox.outbox.message import Message, Row
from txbox.schema import Statements

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

    def add(self, conn: Connection[Any] | Cursor[Any], message: Message) -> UUID:
        """Write one message in `conn`'s transaction and return its id. One statement; nothing is committed.

        Raises the errors of `txbox.outbox.errors`, all of them before anything is written.
        """
        cursor = cursor_in_transaction(conn)
        row = Row.of(message, self._max_payload)
        self._lock(cursor, (row,))
        cursor.execute(self._statements["add"], astuple(row))
        return row.id

    def add_many(self, conn: Connection[Any] | Cursor[Any], messages: Iterable[Message]) -> list[UUID]:
        """Write messages, in order, with one statement, and return their ids. Nothing is committed.

        All are written or none: a message that is refused is refused before anything is written.
        Raises the errors of `txbox.outbox.errors`.
        """
        cursor = cursor_in_transaction(conn)
        rows = [Row.of(message, self._max_payload) for message in messages]
        if rows:
            self._lock(cursor, rows)
            columns = zip(*map(astuple, rows), strict=True)
            cursor.execute(self._statements["add_many"], [list(column) for column in columns])
        return [row.id for row in rows]

    def _lock(self, cursor: Cursor[Any], rows: Sequence[Row]) -> None:
        keyed = [row for row in rows if row.aggregateid is not None] if self._lock_keys else []
        if keyed:
            cursor.execute(self._statements["lock_keys"], [[_lock_of(row) for row in keyed]])


def _lock_of(row: Row) -> int:
    """Return the advisory lock of a row's topic and key; two keys that share one by chance only wait for each other."""
    text = f"txbox key {row.topic or row.aggregatetype} {row.aggregateid}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), signed=True)
