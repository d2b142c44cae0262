"""Old ids leave the inbox. A copy of a message that comes after that has its effect again."""

from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from psycopg import Connection
from psycopg.rows import tuple_row

from txbox.schema import Statements

__all__ = ["prune"]

#: rows in one statement, and one transaction
_MOST: Final = 5_000


def prune(
    conn: Connection[Any],
    older_than: float,
    schema: str = "txbox",
    *,
    consumer: str | None = None,
    dry_run: bool = False,
    tell: Callable[[int], None] = lambda _: None,
) -> int:
    """Delete ids that were taken more than `older_than` seconds ago, batch by batch; return how many.

    `conn` is in autocommit: each batch is a transaction, and it may be broken off. Ids of messages that are held stay.
    Never choose less than a topic keeps its messages, or a replay has its effect twice. `tell` is told how many so far.
    A dry run only counts. Raises psycopg.Error.
    """
    statement = Statements(__package__, "prune.sql", schema)["page"]
    given = {"older_than": older_than, "name": consumer, "dry_run": dry_run, "most": _MOST}
    pruned, place = 0, (-(2**31), UUID(int=0))
    with conn.cursor(row_factory=tuple_row) as cursor:
        while row := cursor.execute(statement, {**given, "consumer": place[0], "id": place[1]}).fetchone():
            pruned += row[0]
            place = row[1], row[2]
            tell(pruned)
    return pruned
