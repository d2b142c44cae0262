"""What the outbox is made of: one table, or partitions by ranges of seq; and what is to be done about it.

    plain         one table
    partitioned   outbox_p0 | outbox_p1000000000000 | ... | outbox_end
                  first       so many seqs each           everything above: no seq is ever without a place

The last one has no upper end, so that writers never come to one, however long nobody makes partitions. While nothing
was drawn that belongs into it, it is moved up to make room for more (EXTEND). Once it has rows it can only be closed:
given an upper bound, with new ones behind it (CLOSE).

A bound must be proven before, by a constraint that is checked while writers go on; and it must hold whatever happens
in between, even if who wanted it dies and nobody comes for weeks, or writers would fail at it. So it is set out of
everybody's reach, `FAR` numbers away, and when the partitions behind it are there, the sequence jumps to them (JUMP).
There are numbers for four million such jumps.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from psycopg import Connection, sql
from psycopg.rows import class_row, scalar_row

from txbox.schema.statements import Statements

__all__ = ["AHEAD", "FAR", "ROWS", "Layout", "Part", "Step", "layout", "next_step", "parts_of", "planned"]

#: seqs a partition, unless somebody chose another number
ROWS: Final = 10_000_000
#: how many unused partitions there are after some were made, and when some more are
AHEAD: Final = 8
_LEAST_AHEAD: Final = 4
#: at a million rows a second, eleven days
FAR: Final = 10**12


class Step(StrEnum):
    """What is to be done next."""

    WRAP = "wrap"
    CLOSE = "close"
    JUMP = "jump"
    EXTEND = "extend"

    @property
    def does(self) -> str:
        """What it does, for people."""
        return _DOES[self]


_DOES: Final = {
    Step.WRAP: "make a partitioned table of the outbox's name, with the table that is there as its one partition",
    Step.CLOSE: "check while writers go on that the last partition ends somewhere, and put new ones behind it",
    Step.JUMP: "let the sequence go on at the first of the new partitions",
    Step.EXTEND: "make more partitions ahead of the writers",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A partition: seqs from `lower` to below `upper`. Fields are the columns of `parts` in partitions.sql."""

    name: str
    #: None: no end
    lower: int | None
    upper: int | None
    #: whether somebody began to detach it and did not come to the end: its rows cannot be seen
    detaching: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What the outbox is made of, in the order of seqs."""

    #: None: one plain table
    parts: tuple[Part, ...] | None
    #: the last seq that anybody drew
    drawn: int

    @property
    def end(self) -> Part | None:
        """The partition without an upper end."""
        return next((part for part in self.parts or () if part.upper is None), None)

    @property
    def ahead(self) -> int:
        """How many partitions nobody has come to yet, but for the last."""
        return sum(part.upper is not None and (part.lower or 0) > self.drawn for part in self.parts or ())

    @property
    def rows(self) -> int:
        """How many seqs a partition has: as many as the one that was made last."""
        widths = [p.upper - p.lower for p in self.parts or () if p.upper is not None and p.lower is not None]
        return widths[-1] if widths and widths[-1] < FAR // 2 else ROWS

    @property
    def wrapped(self) -> bool:
        """Whether the table of before is the one partition: how large others are to be, who began it will say."""
        return self.end is not None and self.end.lower is None

    @property
    def loose_from(self) -> int:
        """The first seq of what can only be pruned row by row: of the last partition, or of the plain table."""
        return (self.end.lower or 0) if self.end else 0


def next_step(now: Layout) -> Step | None:
    """Return what is to be done next, None for nothing; done again and again, it comes to an end."""
    if now.parts is None:
        return Step.WRAP
    here = next((p for p in now.parts if p.upper is not None and (p.lower or 0) <= now.drawn < p.upper), None)
    if here is not None and here.upper is not None and here.upper - now.drawn > FAR // 2:
        return Step.JUMP
    if now.end is None or now.end.lower is None or now.drawn >= now.end.lower:
        return Step.CLOSE
    return Step.EXTEND if now.ahead < _LEAST_AHEAD else None


def planned(now: Layout) -> tuple[Step, ...]:
    """Return all that is to be done, in order."""
    match next_step(now):
        case None:
            return ()
        case Step.WRAP:
            return (Step.WRAP, Step.CLOSE, Step.JUMP)
        case Step.CLOSE:
            return (Step.CLOSE, Step.JUMP)
        case step:
            return (step,)


def layout(conn: Connection[Any], schema: str = "txbox") -> Layout:
    """Return what the outbox of `schema` is made of. Raises psycopg.Error when there is none."""
    statements, given = _statements(schema)
    with conn.cursor(row_factory=scalar_row) as cursor:
        drawn = cursor.execute(statements["drawn"], given).fetchone()
    return Layout(parts=parts_of(conn, schema), drawn=int(drawn or 0))


def parts_of(conn: Connection[Any], schema: str) -> tuple[Part, ...] | None:
    """Return the partitions, None for a plain table. Unlike `layout` it takes no lock, or relays would see a holder."""
    statements, given = _statements(schema)
    with conn.cursor(row_factory=scalar_row) as cursor:
        if not cursor.execute(statements["kind"], given).fetchone():
            return None
    with conn.cursor(row_factory=class_row(Part)) as found:
        return tuple(found.execute(statements["parts"], given).fetchall())


def _statements(schema: str) -> tuple[Statements, dict[str, str]]:
    table = sql.Identifier(schema, "outbox").as_string(None)
    return Statements(__package__, "partitions.sql", schema), {"table": table}
