"""Which held messages a person means, and what is in them."""

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from psycopg import Connection, sql
from psycopg.rows import dict_row, tuple_row

from txbox.consumer.errors import HeldByMany, NotHeld
from txbox.schema import Statements

__all__ = [
    "MOST_BEHIND",
    "Choice",
    "Choosing",
    "Row",
    "State",
    "export",
    "keys_of",
    "listing",
    "shown",
    "told",
]

#: those behind the first of a key are counted up to here
MOST_BEHIND: Final = 1000

#: messages whose payloads are in memory at a time; each may have a megabyte
_EXPORTED: Final = 50

Row = dict[str, Any]


class State(StrEnum):
    """What a held message waits for. The column `state` has these."""

    #: for its next attempt, or for the one before it in its key
    WAITING = "waiting"
    #: for a person
    DEAD = "dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Held messages that have all of these; what is None does not matter."""

    ids: tuple[UUID, ...] | None = None
    consumer: str | None = None
    state: State | None = None
    topic: str | None = None
    #: as `shown` writes it
    key: str | None = None
    type: str | None = None
    #: of `txbox.consumer.policy.Reason`
    reason: str | None = None
    #: a part of its text
    error: str | None = None
    #: seconds since it was held
    older_than: float | None = None
    newer_than: float | None = None

    def of(self, consumer: str, ids: tuple[UUID, ...]) -> "Choice":
        """Return the same choice among these messages; their age was asked when they were found, and is no matter."""
        return replace(self, consumer=consumer, ids=ids, older_than=None, newer_than=None)


class Choosing:
    """Finds held messages, on one connection."""

    def __init__(self, conn: Connection[Any], schema: str) -> None:
        self._conn = conn
        self._statements = Statements(__package__, "choosing.sql", schema)
        self._table = sql.Identifier(schema, "held_messages").as_string(None)

    def find(self, choice: Choice, *, limit: int | None = None, followers: bool = True) -> dict[str, list[UUID]]:
        """Return the ids that were chosen, by consumer, the oldest first; with those that only follow, or without."""
        found: dict[str, list[UUID]] = {}
        for consumer, id_ in self._choose(choice, limit=limit, followers=followers):
            found.setdefault(consumer, []).append(id_)
        return found

    def lock(self, choice: Choice) -> list[UUID]:
        """Lock, in the transaction that is open, those of one consumer's that nobody else has locked.

        One that is no longer what was chosen is not among them.
        """
        return [id_ for _, id_ in self._choose(choice, lock=True)]

    def read(self, consumer: str, ids: list[UUID]) -> dict[UUID, Row]:
        """Return what is told of messages, by id, the oldest first; not their contents.

        `retriable` says whether a retry would change them.
        """
        with self._conn.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(
                self._statements["read"], {"consumer": consumer, "ids": ids, "most_behind": MOST_BEHIND}
            )
            return {row["id"]: {**row, "key": shown(row["key"])} for row in rows}

    def sizes(self, consumer: str, ids: list[UUID]) -> dict[UUID, int | None]:
        """Return how many bytes the payloads of messages have, by id; nothing for who may not read payloads."""
        with self._conn.cursor(row_factory=tuple_row) as cursor:
            if cursor.execute(self._statements["may_read"], {"table": self._table}).fetchone() != (True,):
                return {}
            return dict(cursor.execute(self._statements["sizes"], {"consumer": consumer, "ids": ids}).fetchall())

    def contents(self, consumer: str, ids: list[UUID]) -> dict[UUID, Row]:
        """Return the key, payload and headers of messages, as they came, by id."""
        with self._conn.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(self._statements["contents"], {"consumer": consumer, "ids": ids})
            return {row["id"]: row for row in rows}

    def _choose(
        self, choice: Choice, *, limit: int | None = None, followers: bool = True, lock: bool = False
    ) -> list[tuple[str, UUID]]:
        statement = self._statements["choose"] + (b"\n" + self._statements["locking"] if lock else b"")
        parameters = {
            "ids": None if choice.ids is None else list(choice.ids),
            "consumer": choice.consumer,
            "state": choice.state,
            "topic": choice.topic,
            "keys": None if choice.key is None else keys_of(choice.key),
            "type": choice.type,
            "reason": choice.reason,
            "error": choice.error,
            "older_than": choice.older_than,
            "newer_than": choice.newer_than,
            "followers": followers,
            "limit": limit,
        }
        with self._conn.cursor(row_factory=tuple_row) as cursor:
            return cursor.execute(statement, parameters).fetchall()


def listing(conn: Connection[Any], choice: Choice, schema: str = "txbox", *, limit: int | None = None) -> list[Row]:
    """Return what is told of the messages that were chosen, each consumer's oldest first; nothing of their contents."""
    choosing = Choosing(conn, schema)
    rows: list[Row] = []
    for consumer, ids in choosing.find(choice, limit=limit).items():
        sizes = choosing.sizes(consumer, ids)
        rows += [{**told(row), "payload_bytes": sizes.get(id_)} for id_, row in choosing.read(consumer, ids).items()]
    return rows


def holder_of(conn: Connection[Any], message: UUID, schema: str = "txbox", *, consumer: str | None = None) -> str:
    """Return which consumer holds a message. Raises NotHeld, HeldByMany."""
    holders = list(Choosing(conn, schema).find(Choice(ids=(message,), consumer=consumer)))
    if not holders:
        raise NotHeld(message, consumer)
    if len(holders) > 1:
        raise HeldByMany(message, holders)
    return holders[0]


def show(
    conn: Connection[Any], message: UUID, schema: str = "txbox", *, consumer: str | None = None, payload: bool = False
) -> Row:
    """Return a held message with its headers, and its payload if that is asked for; as base64 what is no text.

    Raises NotHeld, HeldByMany.
    """
    choosing = Choosing(conn, schema)
    holder = holder_of(conn, message, schema, consumer=consumer)
    rows, contents = choosing.read(holder, [message]), choosing.contents(holder, [message])
    if message not in rows or message not in contents:
        raise NotHeld(message, holder)  # it was handled since
    headers = [f"{name}: {_readable(value)}" for name, value in contents[message]["headers"]]
    shown_payload = _payload(contents[message]["payload"]) if payload else {}
    raw = contents[message]["payload"]
    return {
        **told(rows[message]),
        "payload_bytes": None if raw is None else len(raw),
        "headers": headers,
        **shown_payload,
    }


def export(conn: Connection[Any], choice: Choice, schema: str = "txbox") -> Iterator[Row]:
    """Yield all there is about the messages that were chosen; bytes as base64, for JSON."""
    choosing = Choosing(conn, schema)
    for consumer, ids in choosing.find(choice).items():
        for start in range(0, len(ids), _EXPORTED):
            some = ids[start : start + _EXPORTED]
            rows, contents = choosing.read(consumer, some), choosing.contents(consumer, some)
            yield from (_exported(rows[id_], contents[id_]) for id_ in rows if id_ in contents)


def told(row: Row) -> Row:
    """Return what of a row is for people to see."""
    return {name: value for name, value in row.items() if name != "retriable"}


def _exported(row: Row, contents: Row) -> Row:
    """Return a message whole. What only serves people's eyes is left out."""
    left_out = ("key", "head", "behind", "retriable")
    return {
        **{name: value for name, value in row.items() if name not in left_out},
        "key_base64": _base64(contents["key"]),
        "payload_base64": _base64(contents["payload"]),
        "headers_base64": contents["headers"],
    }


def _base64(raw: bytes | None) -> str | None:
    return None if raw is None else base64.b64encode(raw).decode()


def shown(key: bytes | None) -> str | None:
    r"""Return a key for people. What is no text, or could steer a terminal, is written as \xNN."""
    if key is None:
        return None
    text = key.decode(errors="backslashreplace")
    return "".join(c if c.isprintable() else "".join(f"\\x{byte:02x}" for byte in c.encode()) for c in text)


def keys_of(text: str) -> list[bytes]:
    r"""Return the keys that are shown as `text`: two where it has a \xNN, which may be a byte, or be just that."""
    plain = text.encode(errors="surrogateescape")
    bytes_ = re.sub(rb"\\x([0-9a-f]{2})", lambda match: bytes.fromhex(match[1].decode()), plain)
    return [plain] if bytes_ == plain or shown(bytes_) != text else [plain, bytes_]


def _payload(raw: bytes | None) -> Row:
    """Return a payload for people: as text if it is UTF-8, else as base64."""
    try:
        return {"payload": None if raw is None else raw.decode()}
    except UnicodeDecodeError:
        return {"payload_base64": _base64(raw)}


def _readable(stored: str | None) -> str:
    """Return a header's value for people; it is stored as base64."""
    try:
        return "(no value)" if stored is None else base64.b64decode(stored).decode()
    except UnicodeDecodeError:
        return f"(base64) {stored}"
