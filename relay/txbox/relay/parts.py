"""Drops whole partitions of the outbox: no row is deleted, none is vacuumed away, and the disk has the space at once.

A partition goes when every row that it could have is done for every relay, and every row that it has is old enough.
The first is what `prune` says of rows, said of the partition's upper end: no seq below it is undecided or ever drawn
again, so that what a look through the partition has found stays true. It is asked once more in the transaction that
drops it.

Dropping needs the outbox for itself for an instant (txbox.schema.partitioning). DETACH .. CONCURRENTLY would not; but
it waits as long for writers that are open, cannot be a part of a transaction, and leaves a partition half detached,
whose rows nobody sees, when its session ends in between. A partition that is dropped is there or not.
"""

import time
from collections.abc import Callable
from typing import Any, Final

from psycopg import Connection, sql
from psycopg.rows import scalar_row, tuple_row

from txbox.schema import Part, Statements, drop, layout
from txbox.schema.locks import Sleep
from txbox.schema.statements import compose

__all__ = ["Parts"]

#: pages a look: 8 MB, some milliseconds
_PAGES: Final = 1024


class Parts:
    """The partitions of one outbox, on a connection in autocommit that has the settings of pruning."""

    def __init__(
        self,
        conn: Connection[Any],
        schema: str,
        older_than: float,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._conn, self._schema, self._older_than, self._clock = conn, schema, older_than, clock
        self._statements = Statements(__package__, "parts.sql", schema)
        #: when a partition is to be looked at again
        self._due: dict[Part, float] = {}
        #: how many rows those have that may go
        self._old: dict[Part, int] = {}

    def ripe(self, rest: Callable[[float], object]) -> list[tuple[Part, int]]:
        """Return the partitions that may go now, and how many rows each has.

        `rest` is told after each look how long it took, and may wait. Partitions are read through, a little at a time,
        when they are done and their last row is old enough.
        """
        bound = self._bound()
        done = [part for part in layout(self._conn, self._schema).parts or () if _lies_below(part, bound)]
        for part in done:
            if part not in self._old and self._clock() >= self._due.get(part, 0.0):
                self._look_through(part, rest)
        return [(part, self._old[part]) for part in done if part in self._old]

    def drop(self, part: Part, *, patience: float, sleep: Sleep = time.sleep) -> int:
        """Drop a partition that is ripe, and COMMIT; return how many rows it had.

        0 if somebody else was quicker. Raises SchemaBusy, psycopg.Error: then it is still there.
        """
        rows = self._old.pop(part)
        try:
            gone = drop(
                self._conn,
                self._schema,
                part,
                lambda: _lies_below(part, self._bound()),
                patience=patience,
                sleep=sleep,
            )
        except BaseException:
            self._old[part] = rows
            raise
        return rows if gone else 0

    def _look_through(self, part: Part, rest: Callable[[float], object]) -> None:
        """Find out whether all rows are old enough; what is not is looked at again when it may be."""
        name = sql.Identifier(self._schema, part.name).as_string(None)
        rows, youngest = 0, self._ask(part, "last")[0]
        pages = self._one("pages", part=name) if self._is_old(youngest) else 0
        for first in range(0, pages, _PAGES):
            began = self._clock()
            beyond = f"({first + _PAGES},0)"
            found, age = self._ask(part, "pages", first=sql.Literal(f"({first},0)"), beyond=sql.Literal(beyond))
            rows, youngest = rows + found, age if found else youngest
            if not self._is_old(youngest):
                break
            rest(self._clock() - began)
        if self._is_old(youngest):
            self._old[part] = rows
        else:
            self._due[part] = self._clock() + self._older_than - (youngest or 0.0)

    def _bound(self) -> int:
        """Return the first seq that some relay has not done, 0 while none has ever led."""
        return int(self._one("bound") or 0)

    def _is_old(self, age: float | None) -> bool:
        """Return whether a row of that age may go; no row is old."""
        return age is None or age > self._older_than

    def _ask(self, part: Part, name: str, **parts: sql.Composable) -> tuple[Any, ...]:
        names = {"schema": sql.Identifier(self._schema), "part": sql.Identifier(part.name)}
        with self._conn.cursor(row_factory=tuple_row) as cursor:
            statement = compose(__package__, "survey.sql", name, **names, **parts)
            return cursor.execute(statement, prepare=False).fetchone() or (None,)

    def _one(self, name: str, **parameters: object) -> Any:
        with self._conn.cursor(row_factory=scalar_row) as cursor:
            return cursor.execute(self._statements[name], parameters).fetchone()


def _lies_below(part: Part, bound: int) -> bool:
    return part.upper is not None and part.upper <= bound
