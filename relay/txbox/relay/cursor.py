"""Which rows are done: a cursor over a sequence whose numbers do not become visible in order.

A transaction that drew seq 5 may commit after one that drew seq 9. Who remembers only "9" loses 5. So the cursor
remembers the gaps, and closes one when its row was seen, or when it is certain that there will never be one.

    Cursor    durable: every seq <= tail is done, except those in gaps
    Frontier  the same as one connection knows it: who may still fill each gap

Certain by whom? nextval takes a lock on the sequence before it draws, and the transaction keeps it until its commit is
visible (PostgreSQL first shows a commit, then frees its locks), through ROLLBACK TO and PREPARE TRANSACTION. Those who
have the lock are the *holders*. A seq that is missing in some snapshot was drawn by a transaction that

    a) has the lock in any read of the locks that begins after that snapshot, or
    b) had ended before that read: then a snapshot taken after it shows the row, if there will ever be one.

So a gap whose holders are none, in a read that began after the gap was found, and which a later snapshot does not show,
is void. That is the only way in which a gap is closed unseen. Every rule below has a loss behind it:

- Holders read before the gap was found say nothing of it: they are *unknown*, which is not *none*.
- Holders can only leave a gap: a known set is intersected with each new read. Who came later drew later seqs.
- A gap need not be asked for while each of its holders is in progress *in the snapshot that shows other rows*
  (`Question.stands`), or a row of the gap might be visible there, and a later row of its key would go first. This
  needs the holders' transaction ids: one that has none yet is always asked for. Nor may it be left out before it was
  asked once after a holder left: the one that left may have filled it.
- A statement that was cut by its limit says nothing of what lies above its last row.

The Frontier is valid for one connection: a new one cannot tell whether holders that it reads are those of before.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import NamedTuple, Self

__all__ = ["Answer", "Cursor", "Frontier", "Gap", "Gaps", "Holder", "Question", "Snapshot"]


class Gap(NamedTuple):
    """Seqs that are not done, both ends included. A rollback of a million rows is one gap, never a million."""

    first: int
    last: int


Gaps = tuple[Gap, ...]


@dataclass(frozen=True, slots=True)
class Cursor:
    """The whole durable state of a relay: every seq <= tail is done, except those in gaps (ascending, disjoint)."""

    tail: int = 0
    gaps: Gaps = ()


@dataclass(frozen=True, slots=True)
class Holder:
    """A transaction with a lock on the sequence."""

    #: virtual transaction id: the identity, never reused while the server runs
    vxid: str
    #: transaction id with its epoch; None as long as it has none
    xid: int | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Which transactions were in progress for a statement (`pg_current_snapshot()`)."""

    xmax: int
    in_progress: frozenset[int]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read PostgreSQL's `xmin:xmax:xip,xip,...`."""
        _, xmax, xips = text.split(":")
        return cls(int(xmax), frozenset(map(int, xips.split(","))) if xips else frozenset())

    def sees_running(self, xid: int) -> bool:
        """Return whether the transaction had not ended for this snapshot."""
        return xid >= self.xmax or xid in self.in_progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a statement is to look for: rows above `tail`, and those in `gaps`."""

    tail: int
    gaps: Gaps
    #: transactions that may fill the gaps that are left out
    left_out: frozenset[Holder]

    def stands(self, snapshot: Snapshot | None) -> bool:
        """Return whether leaving those gaps out was right, for a statement that ran in `snapshot`."""
        return snapshot is None or all(h.xid is not None and snapshot.sees_running(h.xid) for h in self.left_out)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the statement showed."""

    #: ascending
    seqs: Sequence[int]
    #: whether there may be more: then it speaks only of seqs up to its last one
    cut: bool = False
    #: a seq that was drawn before the statement began: what is not shown up to there is a gap
    drawn: int = 0

    @property
    def vouched(self) -> int | None:
        """The seq up to which the answer is complete; None for all of them."""
        if not self.cut:
            return None
        return self.seqs[-1] if self.seqs else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Gaps that the same transactions may fill: all costs are by group, not by gap."""

    gaps: Gaps
    #: None: unknown
    holders: frozenset[Holder] | None = None
    #: whether a statement looked for these gaps after the holders last changed
    asked: bool = False

    @property
    def can_wait(self) -> bool:
        """Whether these gaps may be left out of a question."""
        return self.asked and bool(self.holders) and all(holder.xid is not None for holder in self.holders or ())

    @property
    def abandoned(self) -> bool:
        """Whether nobody can fill these gaps any more; what was filled is visible to a statement that begins now."""
        return self.holders is not None and not self.holders

    def observed(self, now: dict[str, Holder]) -> Self:
        """Return the group after a read of all holders that began after its gaps were found."""
        if self.holders is None:
            return replace(self, holders=frozenset(now.values()), asked=False)
        left = frozenset(now[holder.vxid] for holder in self.holders if holder.vxid in now)
        return replace(self, holders=left, asked=self.asked and len(left) == len(self.holders))

    def answered(self, seqs: Sequence[int], vouched: int | None) -> Iterator["Group"]:
        """Yield what is left of the group after a statement that looked for its gaps."""
        below, above = _split(_without(self.gaps, seqs), vouched)
        if below and not self.abandoned:
            yield replace(self, gaps=below, asked=True)
        if above:
            yield replace(self, gaps=above)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontier:
    """A cursor as one connection knows it."""

    tail: int
    groups: tuple[Group, ...] = ()

    @classmethod
    def of(cls, cursor: Cursor) -> Self:
        """Return what a new connection knows: the saved cursor, and of the holders nothing."""
        return cls(tail=cursor.tail, groups=(Group(gaps=cursor.gaps),) if cursor.gaps else ())

    @property
    def cursor(self) -> Cursor:
        """What is to be saved once all rows up to here are acked."""
        return Cursor(self.tail, reduce(_merged, (group.gaps for group in self.groups), ()))

    @property
    def gap_count(self) -> int:
        """How many gaps (not seqs) are undecided."""
        return sum(len(group.gaps) for group in self.groups)

    @property
    def first_gap(self) -> int | None:
        """The first undecided seq, None for none."""
        return min((group.gaps[0].first for group in self.groups), default=None)

    def observe(self, holders: Iterable[Holder]) -> Self:
        """Return the frontier after a read of the sequence's holders; groups that became alike are one."""
        now = {holder.vxid: holder for holder in holders}
        merged: dict[tuple[frozenset[Holder] | None, bool], Gaps] = {}
        for group in (group.observed(now) for group in self.groups):
            kind = (group.holders, group.asked)
            merged[kind] = _merged(merged.get(kind, ()), group.gaps)
        groups = tuple(Group(gaps=gaps, holders=holders, asked=asked) for (holders, asked), gaps in merged.items())
        return self if groups == self.groups else replace(self, groups=groups)

    def question(self, *, everything: bool = False) -> Question:
        """Return what the next statement is to look for; `everything` leaves no gap out."""
        waiting = () if everything else tuple(group for group in self.groups if group.can_wait)
        asked = (group.gaps for group in self.groups if everything or not group.can_wait)
        left_out = frozenset(holder for group in waiting for holder in group.holders or ())
        return Question(tail=self.tail, gaps=reduce(_merged, asked, ()), left_out=left_out)

    def apply(self, question: Question, answer: Answer) -> Self:
        """Return the frontier after a statement that answered `question`, which must have been made from this one."""
        groups: list[Group] = []
        for group in self.groups:
            if question.left_out and group.can_wait:
                groups.append(group)
            else:
                groups += group.answered(answer.seqs, answer.vouched)
        above = answer.seqs[bisect_right(answer.seqs, self.tail) :]
        found = _missing(self.tail, above)
        tail = above[-1] if above else self.tail
        if not answer.cut and answer.drawn > tail:
            found += (Gap(tail + 1, answer.drawn),)
            tail = answer.drawn
        if found:
            groups.append(Group(gaps=found))
        if tail == self.tail and groups == list(self.groups):
            return self
        return replace(self, tail=tail, groups=tuple(groups))

    def voided(self, answer: Answer) -> Gaps:
        """Return what `apply` closes unseen: gaps that nobody can fill, and that the answer did not show."""
        closed = (_split(_without(group.gaps, answer.seqs), answer.vouched)[0] for group in self._abandoned)
        return reduce(_merged, closed, ())

    def reopened(self, gaps: Gaps) -> Self:
        """Return the frontier with gaps open again that were closed: they are asked for like new ones."""
        return replace(self, groups=(*self.groups, Group(gaps=gaps)))

    @property
    def _abandoned(self) -> Iterator[Group]:
        return (group for group in self.groups if group.abandoned)


def _missing(tail: int, seqs: Sequence[int]) -> Gaps:
    """Return the gaps between `tail` and ascending seqs above it."""
    if not seqs or seqs[-1] - tail == len(seqs):
        return ()
    before = (tail, *seqs[:-1])
    return tuple(Gap(low + 1, high - 1) for low, high in zip(before, seqs, strict=True) if high - low > 1)


def _without(gaps: Gaps, seqs: Sequence[int]) -> Gaps:
    """Return the gaps less the seqs that were seen."""
    if not seqs or not gaps or seqs[0] > gaps[-1].last:
        return gaps
    left: list[Gap] = []
    for gap in gaps:
        first = gap.first
        for seq in seqs[bisect_left(seqs, gap.first) : bisect_right(seqs, gap.last)]:
            if seq > first:
                left.append(Gap(first, seq - 1))
            first = seq + 1
        if first <= gap.last:
            left.append(Gap(first, gap.last))
    return tuple(left)


def _split(gaps: Gaps, at: int | None) -> tuple[Gaps, Gaps]:
    """Return what lies up to `at` (None: everything) and what lies above."""
    if at is None:
        return gaps, ()
    below = tuple(Gap(first, min(last, at)) for first, last in gaps if first <= at)
    above = tuple(Gap(max(first, at + 1), last) for first, last in gaps if last > at)
    return below, above


def _merged(some: Gaps, more: Gaps) -> Gaps:
    """Return the gaps of both, in order. Cheap where all of one lie above all of the other, as new gaps do."""
    if not some or not more:
        return some or more
    low, high = (some, more) if some[0] < more[0] else (more, some)
    if low[-1].last + 1 < high[0].first:
        return low + high
    return _joined(low + high)


def _joined(gaps: Iterable[Gap]) -> Gaps:
    """Return disjoint gaps in order, neighbours as one."""
    joined: list[Gap] = []
    for gap in sorted(gaps):
        if joined and joined[-1].last + 1 == gap.first:
            joined[-1] = Gap(joined[-1].first, gap.last)
        else:
            joined.append(gap)
    return tuple(joined)
