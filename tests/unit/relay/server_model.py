"""A model of what PostgreSQL promises about sequences, locks and snapshots: as little as is true, and no more.

Every method is one atomic step of the server. What the server does in two steps (a commit is shown first, its locks are
freed later, one by one) is two steps here, so that a reader can come between.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from txbox.relay.cursor import Answer, Holder, Question, Snapshot

__all__ = ["Asked", "Server", "State", "Transaction"]


class State(StrEnum):
    RUNNING = "running"
    PREPARED = "prepared"
    #: snapshots know how it ended, its locks are still there
    ENDED = "ended"


class Written(NamedTuple):
    """A row in the table, visible or not."""

    seq: int
    key: int
    writer: "Transaction"


class Asked(NamedTuple):
    """What one statement showed."""

    rows: list[Written]
    answer: Answer
    snapshot: Snapshot | None


@dataclass(eq=False)
class Transaction:
    """A writer, with what it holds."""

    vxid: str
    xid: int | None = None
    state: State = State.RUNNING
    committed: bool = False
    has_sequence: bool = False
    has_rows: bool = False
    keys: set[int] = field(default_factory=set)
    #: a row that has its seq but is not in the table yet
    pending: tuple[int, int] | None = None
    #: rows since the savepoint, which a rollback to it takes back
    since_savepoint: list[Written] = field(default_factory=list)
    #: whether pg_locks still knows its transaction number when it has ended
    lingers: bool = False

    @property
    def writable(self) -> bool:
        return self.state is State.RUNNING and self.pending is None


class Server:
    """Transactions under way, and a table."""

    def __init__(self) -> None:
        self.transactions: list[Transaction] = []
        self.rows: list[Written] = []
        self.last_seq = 0
        self._begun = 0
        self._last_xid = 100
        self._latest_ended = 100

    def begin(self) -> Transaction:
        self._begun += 1
        transaction = Transaction(f"3/{self._begun}")
        self.transactions.append(transaction)
        return transaction

    def assign_xid(self, transaction: Transaction) -> None:
        if transaction.xid is None:
            self._last_xid += 1
            transaction.xid = self._last_xid

    def draw(self, transaction: Transaction) -> int:
        """nextval: the lock is there before the number."""
        transaction.has_sequence = True
        self.last_seq += 1
        return self.last_seq

    def can_lock(self, transaction: Transaction, key: int) -> bool:
        """Return whether nobody else has the key: a writer that would have to wait does something else first."""
        return not any(key in other.keys for other in self.transactions if other is not transaction)

    def begin_insert(self, transaction: Transaction, key: int) -> None:
        transaction.keys.add(key)
        transaction.pending = (self.draw(transaction), key)

    def finish_insert(self, transaction: Transaction) -> None:
        assert transaction.pending is not None
        self.assign_xid(transaction)
        row = Written(*transaction.pending, transaction)
        transaction.pending, transaction.has_rows = None, True
        transaction.since_savepoint.append(row)
        self.rows.append(row)

    def savepoint(self, transaction: Transaction) -> None:
        transaction.since_savepoint.clear()

    def rollback_to(self, transaction: Transaction) -> None:
        """The rows go, the lock on the sequence stays; so do the keys, which only makes others wait longer."""
        self.rows = [row for row in self.rows if row not in transaction.since_savepoint]
        transaction.since_savepoint.clear()
        transaction.pending = None

    def prepare(self, transaction: Transaction) -> None:
        self.assign_xid(transaction)
        transaction.state = State.PREPARED

    def end(self, transaction: Transaction, *, commit: bool, lingers: bool) -> None:
        """From now on snapshots know how it ended."""
        if not commit:
            self.rows = [row for row in self.rows if row.writer is not transaction]
        transaction.committed, transaction.pending = commit, None
        transaction.lingers = lingers or transaction.state is State.PREPARED
        transaction.state = State.ENDED
        self._latest_ended = max(self._latest_ended, transaction.xid or 0)

    def free(self, transaction: Transaction, *, key_first: bool) -> None:
        """Free one lock of a transaction that has ended."""
        if transaction.keys and (key_first or not transaction.has_sequence):
            transaction.keys.pop()
        else:
            transaction.has_sequence = False
        if not transaction.keys and not transaction.has_sequence:
            self.transactions.remove(transaction)

    def free_all(self, transaction: Transaction) -> None:
        transaction.has_sequence = False
        transaction.keys.clear()
        self.transactions.remove(transaction)

    def holders(self, *, of_table: bool = False) -> Iterator[Holder]:
        """pg_locks. A transaction that has ended mostly shows the number 0 and is ignored, but need not yet."""
        for each in self.transactions:
            holds = each.has_sequence and (each.has_rows or not of_table)
            if holds and (each.state is not State.ENDED or each.lingers):
                yield Holder(each.vxid, each.xid)

    def snapshot(self) -> Snapshot:
        xmax = self._latest_ended + 1
        running = {each.xid for each in self.transactions if each.state is not State.ENDED and each.xid is not None}
        return Snapshot(xmax, frozenset(xid for xid in running if xid < xmax))

    def ask(self, question: Question, limit: int, admitted: int, drawn: int = 0) -> Asked:
        """The one statement that shows rows: cut after `limit`, and of those only the first `admitted` are taken."""
        visible = sorted(self._asked_for(question))
        rows = visible[: min(limit, admitted)]
        cut = len(visible[:limit]) >= limit or len(rows) < len(visible)
        answer = Answer(seqs=[row.seq for row in rows], cut=cut, drawn=drawn)
        return Asked(rows, answer, self.snapshot() if visible else None)

    def committed(self) -> Iterable[Written]:
        return (row for row in self.rows if row.writer.committed)

    def _asked_for(self, question: Question) -> Iterator[Written]:
        for row in self.committed():
            if row.seq > question.tail or any(first <= row.seq <= last for first, last in question.gaps):
                yield row
