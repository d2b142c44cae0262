"""Rows in held_messages as consumers leave them, put there by hand."""

import base64
from collections.abc import Sequence
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import orjson
from psycopg import Connection
from psycopg.rows import dict_row, tuple_row

__all__ = ["Holding"]

_PUT = """
WITH made AS (INSERT INTO txbox.consumers (name) VALUES (%(consumer)s) ON CONFLICT DO NOTHING RETURNING id)
INSERT INTO txbox.held_messages (
    consumer_id, message_id, state, blocks, reason, error, attempts, due_at, key, type, payload, headers, topic,
    kafka_partition, kafka_offset, record_timestamp, first_failed_at
)
SELECT
    coalesce((SELECT id FROM made), (SELECT id FROM txbox.consumers WHERE name = %(consumer)s)),
    %(id)s, %(state)s, %(blocks)s, %(reason)s, %(error)s, %(attempts)s, now() + make_interval(secs => %(due_in)s),
    %(key)s, %(type)s, %(payload)s, %(headers)s::jsonb, %(topic)s, 3, %(offset)s, '2026-01-02 03:04:05.678Z',
    now() - make_interval(secs => %(age)s)
"""


class Holding:
    """The held messages of a test's database."""

    def __init__(self, conn: Connection[Any]) -> None:
        self._conn = conn
        self._offsets = count(1)

    def dead(self, key: bytes | None = b"k", **other: Any) -> UUID:
        """A message that had its last attempt, and holds its key if it has one."""
        return self._put({"state": "dead", "reason": "attempts", "attempts": 16, "key": key} | other)

    def head(self, key: bytes | None = b"k", **other: Any) -> UUID:
        """A message that failed, and is due in a minute."""
        return self._put({"reason": "failed", "attempts": 3, "due_in": 60, "key": key} | other)

    def follower(self, key: bytes = b"k", **other: Any) -> UUID:
        """A message that came while its key was held."""
        return self._put({"reason": "follows", "attempts": 0, "error": None, "key": key} | other)

    def _put(self, given: dict[str, Any]) -> UUID:
        return self.put(**given)

    def put(
        self,
        *,
        key: bytes | None,
        reason: str,
        attempts: int,
        consumer: str = "billing",
        state: str = "waiting",
        headers: Sequence[tuple[str, bytes | None]] = (),
        **other: Any,
    ) -> UUID:
        """A row, and its id."""
        given: dict[str, Any] = {
            "id": uuid4(),
            "blocks": key is not None,
            "error": "ValueError at shop.py:7",
            "due_in": None,
            "type": "Placed",
            "payload": b'{"n":1}',
            "topic": "orders",
            "offset": next(self._offsets),
            "age": 0.0,
        } | other
        own = [("id", str(given["id"]).encode()), ("type", b"Placed"), *headers] if "own" not in given else given["own"]
        pairs = [(name, value if value is None else base64.b64encode(value).decode()) for name, value in own]
        fixed = {"consumer": consumer, "state": state, "reason": reason, "attempts": attempts, "key": key}
        self._conn.execute(_PUT, {**given, **fixed, "headers": orjson.dumps(pairs).decode()})
        id_: UUID = given["id"]
        return id_

    def rows(self, *columns: str) -> list[Any]:
        """What is held, in order."""
        with self._conn.cursor(row_factory=tuple_row) as cursor:
            rows = cursor.execute(f"SELECT {', '.join(columns)} FROM txbox.held_messages ORDER BY n")  # noqa: S608
            return rows.fetchall()

    def everything(self) -> list[dict[str, Any]]:
        """All columns of all rows, in order."""
        with self._conn.cursor(row_factory=dict_row) as cursor:
            return cursor.execute("SELECT * FROM txbox.held_messages ORDER BY n").fetchall()

    def audit(self) -> list[tuple[str, dict[str, Any]]]:
        """What people did, in order."""
        with self._conn.cursor(row_factory=tuple_row) as cursor:
            return cursor.execute("SELECT command, what FROM txbox.audit ORDER BY at").fetchall()
