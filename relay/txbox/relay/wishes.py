"""What people may do about messages that are held: look at them, and wish. The leader acts on it, within a second."""

from enum import StrEnum
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import dict_row

from txbox.daemon import person
from txbox.schema import Statements

__all__ = ["Wish", "listing", "wish"]

Record = dict[str, Any]


class Wish(StrEnum):
    """What is to become of a held message. The column `wish` has these."""

    #: try it again; what is behind it in its key follows when Kafka has taken it
    RETRY = "retry"
    #: never publish it; what is behind it in its key is due then
    SKIP = "skip"


def listing(
    conn: Connection[Any], schema: str = "txbox", *, key: str | None = None, topic: str | None = None, limit: int = 20
) -> list[Record]:
    """Return the oldest messages that are held, of one key or topic if that is given; without their payloads."""
    return _rows(conn, schema, "list", key=key, topic=topic, limit=limit)


def wish(
    conn: Connection[Any],
    what: Wish,
    schema: str = "txbox",
    *,
    relay: str = "default",
    message: UUID | int | None = None,
    key: str | None = None,
    topic: str | None = None,
    error: str | None = None,
    dry_run: bool = False,
) -> list[Record]:
    """Mark held messages of one relay and return them; one row in `audit` says who did. A dry run changes nothing.

    `message` is an id or a seq and chooses that one, wherever it stands. The others may be combined (`error` is a part
    of its text) and choose the first of each key only: what merely follows it was never refused.
    """
    return _rows(
        conn,
        schema,
        "wish",
        wish=what,
        relay=relay,
        id=message if isinstance(message, UUID) else None,
        seq=message if isinstance(message, int) else None,
        key=key,
        topic=topic,
        error=error,
        dry_run=dry_run,
        who=person(),
        command=f"outbox {what}",
    )


def _rows(conn: Connection[Any], schema: str, statement: str, **parameters: object) -> list[Record]:
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(Statements(__package__, "wishes.sql", schema)[statement], parameters).fetchall()
