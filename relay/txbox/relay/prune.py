"""Deletes rows that every relay has published, once they are old enough, a small batch at a time.

Which rows may go, the statement that deletes them decides (prune.sql): those below the first seq that some saved
cursor, whoever leads, has not done. No cursor needs one of them, nor will:

- That seq only rises. The tail rises; a gap is found above the tail, and then only closes; a save by a leader of an
  earlier epoch changes nothing. So a cursor that is saved after the bound was read needs nothing below it.
- Nothing is undecided there: a transaction that drew a seq and is open has its gap in every cursor that is past it.
- A deletion stands behind the save that allowed it in the WAL: a crash, or a standby that takes over, cannot keep the
  one and lose the other.
- No holder is ever seen in who deletes: that needs the lock of nextval, which a deletion does not take.

A relay of a name that never led has no cursor: for it the outbox is what is left when it first leads.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from psycopg import Connection
from psycopg.rows import class_row
from psycopg.types.numeric import Float8, Int8

from txbox.relay.parts import Parts
from txbox.schema import Statements, layout
from txbox.schema.locks import PATIENCE

__all__ = ["SETTINGS", "Found", "Stride", "Sweep", "pause", "prune"]

#: Each batch is one statement. The planner does not know the bound, expects few rows below it, and left to itself would
#: read and sort them all, for each batch. What a crash takes back is deleted again: no commit waits for the disk.
SETTINGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "default_transaction_isolation": "read committed",
        "row_security": "off",
        "jit": "off",
        "enable_seqscan": "off",
        "enable_bitmapscan": "off",
        "enable_sort": "off",
        "synchronous_commit": "off",
        "lock_timeout": "1s",
    }
)

#: of the time that goes by, how much deleting may take
_SHARE: Final = 0.03
#: seconds that a batch should take: short, since writers feel it whole
_BATCH: Final = 0.030
#: rows a batch: the first one, and the bounds; the upper one keeps the array of seqs small
_FIRST: Final = 500
_LEAST: Final = 50
_MOST: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a batch came upon. Fields are the columns of `batch` in prune.sql."""

    seen: int
    #: of those seen, old enough to go
    old: int
    #: of those, deleted by this batch and by nobody else
    deleted: int
    #: the last seq that was seen, None for none
    last: int | None
    #: the first one too young to go
    young: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stride:
    """Where the next batch begins, and how many rows it looks at."""

    start: int = 0
    rows: int = _FIRST
    #: the first row too young to go that was passed on the way
    young: int | None = None
    #: whether all that may go now is gone; then the stride is the first one of the next walk
    done: bool = False

    def after(self, found: Found, took: float) -> "Stride":
        """Return the stride after a batch that took so many seconds.

        A walk ends where there is no more, or nothing old: created_at rises with seq but for writers that overlap, so a
        batch without one old row lies among the young. Those few that were passed are where the next walk begins.
        """
        young = self.young if self.young is not None else found.young
        beyond = self.start if found.last is None else found.last + 1
        if found.seen < self.rows or not found.old:
            return Stride(start=beyond if young is None else young, done=True)
        return replace(self, start=beyond, rows=_resized(self.rows, took), young=young, done=False)


def _resized(rows: int, took: float) -> int:
    """Return how many rows take as long as a batch should; never more than twice as many as were just tried."""
    fitting = rows * _BATCH / max(took, 1e-6)
    return int(min(max(fitting, _LEAST), 2 * rows, _MOST))


def pause(took: float) -> float:
    """Return the seconds to wait after a batch, so that deleting keeps to its share of the time."""
    return max(took, 0.0) * (1 / _SHARE - 1)


class Sweep:
    """Batches over one outbox, on a connection in autocommit that has `SETTINGS`: no transaction stays open."""

    def __init__(
        self,
        conn: Connection[Any],
        schema: str,
        older_than: float,
        *,
        dry_run: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cursor = conn.cursor(row_factory=class_row(Found))
        self._statement = Statements(__package__, "prune.sql", schema)["batch"]
        self._fixed = {"older_than": Float8(older_than), "dry_run": dry_run}
        self._clock = clock

    def batch(self, stride: Stride) -> tuple[Found, float]:
        """Delete, AND COMMIT, at most `stride.rows` rows; return what was found and the seconds that it took.

        Raises psycopg.Error: then nothing was deleted, or the connection broke and nobody knows.
        """
        began = self._clock()
        parameters = {**self._fixed, "start": Int8(stride.start), "rows": Int8(stride.rows)}
        # Planned each time: a plan for any number of rows expects a tenth of the table.
        found = self._cursor.execute(self._statement, parameters, prepare=False).fetchone()
        assert found is not None, "an aggregate has one row"  # noqa: S101
        return found, self._clock() - began


def prune(conn: Connection[Any], older_than: float, schema: str = "txbox", *, dry_run: bool = False) -> int:
    """Delete, AND COMMIT in batches, rows that every relay has published and that are older than so many seconds.

    Of a partitioned outbox whole partitions, and rows only of the last one. Returns how many; with `dry_run` how many
    it would be, and deletes none. Safe beside relays, writers and others that prune, and to be broken off. Takes a
    connection in autocommit. Raises ValueError otherwise, SchemaBusy when a partition's turn did not come, and
    psycopg.Error.
    """
    if not conn.autocommit:
        raise ValueError("prune commits each batch: call it on a connection in autocommit")
    parts, pruned = Parts(conn, schema, older_than), 0
    for part, rows in parts.ripe(lambda _: None):
        pruned += rows if dry_run else parts.drop(part, patience=PATIENCE)
    sweep = Sweep(conn, schema, older_than, dry_run=dry_run)
    stride = Stride(start=layout(conn, schema).loose_from)
    while not stride.done:
        found, took = sweep.batch(stride)
        pruned += found.old if dry_run else found.deleted
        stride = stride.after(found, took)
    return pruned
