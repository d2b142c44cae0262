"""Writers and a relay, one atomic step at a time, in an order that somebody else chooses; and what must always hold."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

from tests.unit.relay.cursor_mutants import Reader
from tests.unit.relay.server_model import Asked, Server, State, Transaction, Written
from txbox.relay.cursor import Cursor, Question

__all__ = ["Interleaving"]

#: transactions at a time; few, so that they get into each other's way
_WRITERS: Final = 4
_KEYS: Final = (0, 1, 2)
#: more than there ever are
_ALL: Final = 1000
_LIMITS: Final = (_ALL, _ALL, _ALL, 2, 1)
_SELDOM: Final = (*[False] * 24, True)

Action = Callable[[], None]


class Interleaving:
    """`choose` picks the next step and all that is open about it. Raises AssertionError when a promise is broken."""

    def __init__(self, reader_class: type[Reader], choose: Callable[[Sequence[Any]], Any]) -> None:
        self.choose = choose
        self.server = Server()
        self.reader_class = reader_class
        self.reader = reader_class(Cursor())
        self.saved = Cursor()
        #: the last seq that was drawn when the relay looked, some time ago; 0: it did not
        self.drawn = 0
        #: seqs ever published, and those that this term may not publish (again)
        self.published: set[int] = set()
        self.done: set[int] = set()
        #: the second question, when the first answer could not be used
        self.again: Question | None = None

    def step(self) -> str:
        """Do one thing, and return its name."""
        action = self.choose(list(self._actions()))
        action()
        self._check_cursor()
        return str(action.__name__).removeprefix("_")

    def finish(self) -> None:
        """When everything has ended and the relay has polled enough, all that was committed is published."""
        for transaction in self._in(State.RUNNING, State.PREPARED):
            self._end(transaction, commit=transaction.pending is None, slow=False)
        self.server.transactions.clear()
        if self.again is not None:
            self._ask_again(_ALL)
        for _ in range(3):
            self._read_holders()
            self._ask(_ALL, _ALL)
        assert self.published == {row.seq for row in self.server.committed()}, "a committed row is lost"
        assert self.reader.frontier.cursor.gaps == (), "a gap that nobody can fill stays"

    def _actions(self) -> Iterator[Action]:
        """What may come next, the likelier the more often."""
        if len(self.server.transactions) < _WRITERS:
            yield from [self._begin, self._begin]
        if any(each.writable for each in self.server.transactions):
            yield self._write_more
        if self._in(State.RUNNING, State.PREPARED):
            yield from [self._go_on] * 3
        if self._in(State.ENDED):
            yield from [self._free_a_lock] * 2
        if self.again is not None:
            yield from [self._ask_again] * 3
        else:
            yield from [self._poll] * 5

    def _begin(self) -> None:
        """Some have an xid long before they write, some a seq long before an xid."""
        transaction = self.server.begin()
        match self.choose(("write", "write", "write", "xid", "seq")):
            case "xid":
                self.server.assign_xid(transaction)
            case "seq":
                self.server.draw(transaction)
            case _:
                self._write(transaction)

    def _write_more(self) -> None:
        transaction = self.choose([each for each in self.server.transactions if each.writable])
        match self.choose(("on", "on", "savepoint", "rollback to")):
            case "savepoint":
                self.server.savepoint(transaction)
            case "rollback to":
                self.server.rollback_to(transaction)
        self._write(transaction)

    def _write(self, transaction: Transaction) -> None:
        """The key is locked before the seq is drawn; the row may be there only a moment after."""
        if free := [key for key in _KEYS if self.server.can_lock(transaction, key)]:
            self.server.begin_insert(transaction, self.choose(free))
            then = self.choose(("pause", "stay", "commit"))
            if then != "pause":
                self.server.finish_insert(transaction)
            if then == "commit":
                self._end(transaction, commit=True, slow=False)

    def _go_on(self) -> None:
        """An insert that is under way finishes; else the transaction is prepared, or ends: at once or by steps."""
        transaction = self.choose(self._in(State.RUNNING, State.PREPARED))
        how = self.choose(("commit", "commit", "commit", "roll back", "prepare"))
        if transaction.pending is not None:
            self.server.finish_insert(transaction)
        elif how == "prepare" and transaction.state is State.RUNNING:
            self.server.prepare(transaction)
        else:
            self._end(transaction, commit=how != "roll back", slow=self.choose((False, False, True)))

    def _end(self, transaction: Transaction, *, commit: bool, slow: bool) -> None:
        self.server.end(transaction, commit=commit, lingers=slow and self.choose((False, True)))
        if not slow:
            self.server.free_all(transaction)

    def _free_a_lock(self) -> None:
        """In whatever order the server happens to free them."""
        transaction = self.choose(self._in(State.ENDED))
        self.server.free(transaction, key_first=self.choose((False, True)))

    def _poll(self) -> None:
        """Not every poll reads the holders, and writers may come between that and the question."""
        part = self.choose(("holders", "question", "question", "both", "both", "drawn"))
        if part == "drawn":
            self.drawn = self.server.last_seq
            return
        if part != "question":
            self._read_holders()
        if part != "holders":
            self._ask(self.choose(_LIMITS), self.choose(_LIMITS))
        if self.choose((False, False, False, True)):
            self.saved = self.reader.frontier.cursor
        if self.choose(_SELDOM):
            self._restart()

    def _read_holders(self) -> None:
        if self.reader.frontier.groups:
            self.reader.observe(self.reader.holders(self.server))

    def _ask(self, limit: int, admitted: int) -> None:
        question = self.reader.question(everything=False)
        asked = self.server.ask(question, limit, admitted, drawn=self.drawn)
        self.drawn = 0
        if self.reader.stands(question, asked.snapshot):
            self._apply(question, asked)
        else:
            self.again = self.reader.question(everything=True)

    def _ask_again(self, limit: int | None = None) -> None:
        """Another statement, hence another snapshot: writers may have come between."""
        assert self.again is not None
        question, self.again = self.again, None
        self._apply(question, self.server.ask(question, limit or self.choose(_LIMITS), _ALL))
        if limit is not None:
            self._ask(limit, limit)

    def _restart(self) -> None:
        """A new connection: the saved cursor, and nothing known of the holders."""
        self.reader, self.again = self.reader_class(self.saved), None
        self.done = {seq for seq in self.published if _is_done(self.saved, seq)}

    def _apply(self, question: Question, asked: Asked) -> None:
        self.reader.apply(question, asked.answer)
        for row in asked.rows:
            self._publish(row)

    def _publish(self, row: Written) -> None:
        assert row.writer.committed, "a ghost"
        assert row.seq not in self.done, "published twice in one term, or although the saved cursor has it"
        if row.seq not in self.published:
            earlier = {each.seq for each in self.server.committed() if each.key == row.key and each.seq < row.seq}
            assert earlier <= self.published, "a later row of the key went first"
        self.published.add(row.seq)
        self.done.add(row.seq)

    def _check_cursor(self) -> None:
        tail, gaps = self.reader.frontier.cursor.tail, self.reader.frontier.cursor.gaps
        assert all(first <= last for first, last in gaps)
        assert all(low.last + 1 < high.first for low, high in pairwise(gaps))
        assert not gaps or (gaps[0].first > 0 and gaps[-1].last <= tail)

    def _in(self, *states: State) -> list[Transaction]:
        return [each for each in self.server.transactions if each.state in states]


def _is_done(cursor: Cursor, seq: int) -> bool:
    return seq <= cursor.tail and not any(first <= seq <= last for first, last in cursor.gaps)
