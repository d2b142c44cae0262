"""Watch an outbox: rows as they are written, and as they are published."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row, scalar_row

from txbox.schema import Statements

__all__ = ["Following", "Seen"]

#: rows of one look: more than anybody can read
_MOST: Final = 200
#: of the numbers below the newest, how many are waited for that were not there, and how many that were not published
_AWAITED: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A row of the outbox as it was seen, without payload and headers."""

    seq: int
    id: UUID
    #: written, published, held
    state: str
    route: str
    key: str | None
    type: str
    created_at: datetime


class Following:
    """What changes in an outbox, from the `last` few rows on.

    Each row is told when it is first seen, and once more when it is published or held by the relay of that name, if it
    was not yet. One that appears late, below others, is told too. Where rows come faster than anybody reads, the newest
    are told, and the others counted.
    """

    def __init__(self, conn: Connection[Any], schema: str, relay: str, *, last: int) -> None:
        self._conn, self._relay = conn, relay
        self._statements = Statements(__package__, "following.sql", schema)
        #: None before the first look
        self._above: int | None = None
        self._last = last
        #: numbers below the newest that were not there, and those of rows that were told as written
        self._missing: set[int] = set()
        self._written: set[int] = set()
        #: about how many rows came that were never told
        self.passed_over = 0

    def look(self) -> list[Seen]:
        """Return what has changed since the last look, in the order of seqs. Raises psycopg.Error."""
        above = self._above or 0
        parameters = {
            "above": above,
            "most": self._last if self._above is None else _MOST,
            "awaited": [*self._missing, *self._written],
            "relay": self._relay,
        }
        with self._conn.cursor(row_factory=class_row(Seen)) as cursor:
            rows = cursor.execute(self._statements["rows"], parameters).fetchall()
        changed = [row for row in rows if row.seq not in self._written or row.state != "written"]
        self._note_new([row.seq for row in rows if row.seq > above])
        self._missing = _newest(self._missing - {row.seq for row in rows})
        self._written = _newest({row.seq for row in rows if row.state == "written"})
        return changed

    def _note_new(self, new: Sequence[int]) -> None:
        """Note up to where all was seen, and which numbers were not there."""
        if self._above is None:
            self._above = new[-1] if new else 0
            first = new[0] if new else 0
        elif len(new) == _MOST:
            first = new[0]
            self.passed_over += self._between(self._above, first)
        else:
            first = self._above + 1
        if new:
            self._above = new[-1]
            # Not all of them: a partitioned outbox lets its numbers jump by millions.
            self._missing |= set(range(max(first, self._above - _AWAITED), self._above)) - set(new)

    def _between(self, above: int, below: int) -> int:
        """Return how many rows are between two numbers: they jump by millions, and rows are pruned."""
        with self._conn.cursor(row_factory=scalar_row) as cursor:
            return cursor.execute(self._statements["between"], {"above": above, "below": below}).fetchone() or 0


def _newest(seqs: set[int]) -> set[int]:
    """Return as many as are waited for. The rest were rolled back long ago, or are a backlog that nobody reads."""
    return set(sorted(seqs)[-_AWAITED:])
