"""What a person may change in a held message: its payload and its headers. Its id, key and topic stay."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import Connection

from txbox.consumer.choosing import Choice, Choosing, holder_of
from txbox.consumer.errors import BeingTried, UnfitEdit
from txbox.consumer.mending import write
from txbox.consumer.received import Received, Record, read
from txbox.consumer.stored import record_of, storable, stored_headers
from txbox.outbox.envelope import ID, unstorable

__all__ = ["Edited", "edit"]

Headers = list[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """A message that was edited. `before` and `after` are sizes and hashes, as the audit has them."""

    id: UUID
    consumer: str
    type: str | None
    before: dict[str, object]
    after: dict[str, object]

    @property
    def changed(self) -> bool:
        """Whether there was anything to do."""
        return self.before != self.after


def edit(
    conn: Connection[Any],
    message: UUID,
    schema: str = "txbox",
    *,
    consumer: str | None = None,
    payload: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    dry_run: bool = False,
) -> Edited:
    """Give a held message another payload, or other headers, and COMMIT.

    A header takes the place of all of its name. The message must be readable as its content type says, and must be the
    same one: a message that came without an id gets the one by which the inbox knows it. What it waits for stays, so a
    dead one is still to be retried. The audit has sizes and hashes, not contents. Takes a connection in autocommit.
    Raises NotHeld, HeldByMany, BeingTried, UnfitEdit, psycopg.Error; then nothing was changed.
    """
    choosing = Choosing(conn, schema)
    with conn.transaction():
        holder = holder_of(conn, message, schema, consumer=consumer)
        if not choosing.lock(Choice(ids=(message,), consumer=holder)):
            raise BeingTried(message, holder)
        told, contents = choosing.read(holder, [message])[message], choosing.contents(holder, [message])[message]
        before = record_of(
            topic=told["topic"],
            partition=told["partition"],
            offset=told["offset"],
            timestamp=told["timestamp"],
            key=contents["key"],
            payload=contents["payload"],
            headers=contents["headers"],
        )
        after = before._replace(
            value=before.value if payload is None else payload,
            headers=_replaced(before.headers, headers or {}, message),
        )
        received = _checked(after, message)
        edited = Edited(
            id=message, consumer=holder, type=received.type, before=_measured(before), after=_measured(after)
        )
        if edited.changed and not dry_run:
            write(
                conn,
                schema,
                "edit",
                holder,
                [message],
                note={"before": edited.before, "after": edited.after, "headers": tuple(headers or {})},
                payload=after.value,
                headers=stored_headers(after.headers),
                type=storable(edited.type),
            )
    return edited


def _replaced(headers: Any, given: Mapping[str, str], message: UUID) -> Headers:
    """Return the headers with the given ones in the place of the first of their names. Raises UnfitEdit."""
    for name in given:
        if why := unstorable(name):
            raise UnfitEdit(message, f"header {name!r}: {why}")
    if not any(name == ID for name, _ in headers):
        given = {ID: str(message), **given}
    values = {name: text.encode(errors="surrogateescape") for name, text in given.items()}
    first: dict[str, bytes | None] = {}
    kept: Headers = []
    for name, value in headers:
        if name not in values:
            kept.append((name, value))
        elif name not in first:
            first[name] = values[name]
            kept.append((name, values[name]))
    return [*kept, *((name, value) for name, value in values.items() if name not in first)]


def _checked(record: Record, message: UUID) -> Received:
    """Return the message that the record is. Raises UnfitEdit if it is none, or another one."""
    received = read(record)
    if not isinstance(received, Received):
        raise UnfitEdit(message, received.error)
    if received.id != message:
        raise UnfitEdit(message, f"its id would become {received.id}, by which no copy of it would be known")
    return received


def _measured(record: Record) -> dict[str, object]:
    """Return how large the parts of a message are, and their hashes."""
    return {"payload": _measure(record.value), "headers": _measure(stored_headers(record.headers).encode())}


def _measure(raw: bytes | None) -> dict[str, object] | None:
    return None if raw is None else {"bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
