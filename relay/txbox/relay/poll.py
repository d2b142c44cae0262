"""Rows by asking for them: the polling source."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from psycopg import sql
from psycopg.rows import tuple_row
from psycopg.types.numeric import Int8

from txbox.daemon import Link
from txbox.relay.batch import SEQ, SIZE, Admit, Batch, Plan, Room, Row
from txbox.relay.cursor import Answer, Cursor, Frontier, Gap, Gaps, Holder, Question, Snapshot
from txbox.relay.late import Voids
from txbox.schema import Statements

__all__ = ["SETTINGS", "Alarm", "Poll"]

#: what the statements need of the session. A sequential scan or a parallel plan would cost a whole table; row security
#: would hide rows in silence, off makes it an error. READ COMMITTED: each statement has a snapshot of its own.
SETTINGS: Final = {
    "default_transaction_isolation": "read committed",
    "row_security": "off",
    "jit": "off",
    "enable_seqscan": "off",
    # Expecting few rows below a limit that it does not know, the planner would sort a bitmap of all that lie above.
    "enable_bitmapscan": "off",
    "max_parallel_workers_per_gather": "0",
}

#: told the seqs of rows that came after it was certain that they never would
Alarm = Callable[[Sequence[int]], None]

#: Called for each row, in C alone: Row._make would be a Python function's call more.
_AS_ROW: Final[Callable[[Sequence[Any]], Row]] = partial(tuple.__new__, Row)

#: Seconds. A statement that found less than it could take, and took longer, passed over rows above the tail that are
#: not visible: those of a large transaction that is open, or was rolled back. It would do so each time (70 ns a row).
#: With the tail behind them they are one gap, which is left alone until its holder is gone.
_LABOURS: Final = 0.020

#: seconds between reads of the holders, at least; and at least this many times what one takes
_HOLDERS_EVERY: Final = 0.020
_HOLDERS_SHARE: Final = 20
#: bytes of payloads, keys and headers a statement: for a moment they are in memory thrice, with libpq and librdkafka
_SIZE: Final = 16_000_000
#: The statement counts headers as they are stored, which saves it their text: `{"a": "b"}` takes 15 bytes and not 10,
#: [1, 1] four times its text. So it may end within the size that its rows seem to have.
_STORED: Final = 8


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question under way."""

    question: Question
    room: Room
    #: the last seq that anybody had drawn before; 0 if that was not read
    drawn: int


class Poll:
    """Reads rows with the gap-aware cursor, on the session that leads. `txbox.relay.cursor` says why none is missed."""

    def __init__(
        self,
        conn: Link[Any],
        schema: str,
        *,
        batch: int,
        template: str,
        admit: Admit,
        alarm: Alarm,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._conn = conn
        self._cursor = conn.cursor(binary=True, row_factory=tuple_row)
        self._rows = conn.cursor(binary=True, row_factory=lambda _: _AS_ROW)
        self._statements = self.statements(schema)
        self._outbox = {"table": sql.Identifier(schema, "outbox").as_string(None)}
        self._batch = batch
        self._template = template
        self._admit = admit
        self._alarm = alarm
        self._clock = clock
        self._frontier = Frontier.of(Cursor())
        self._holders_due = 0.0
        #: whether the last statement passed over many rows that are not visible
        self._labours = False
        self._voids = Voids()
        self._asked: _Asked | None = None

    @staticmethod
    def statements(schema: str) -> Statements:
        """Return the statements of poll.sql for one schema."""
        return Statements(__package__, "poll.sql", schema)

    def start(self, cursor: Cursor) -> None:
        """Begin after a saved cursor, with nothing known of the holders."""
        self._frontier = Frontier.of(cursor)
        self._holders_due = 0.0
        self._asked = None

    def read(self, room: Room) -> Batch:
        """Return the next rows that are certain to be in order. Raises psycopg.Error, and what `admit` raises.

        What is read next is asked for at once, so that PostgreSQL finds it while these rows are sent.
        """
        if self._asked is None:
            if room.messages <= 0 or room.size <= 0:
                return Batch((), self._frontier, more=True)
            self._asked = self._ask(room)
        asked, self._asked = self._asked, None
        began = self._clock()
        rows, snapshot = self._found()
        question = asked.question
        if not question.stands(snapshot):
            question = self._frontier.question(everything=True)
            self._send(question, asked.room)
            rows, _ = self._found()
        cut = _cut(rows, asked.room)
        self._labours = not cut and self._clock() - began > _LABOURS
        batch = self._batch_of(question, Answer(seqs=list(map(SEQ, rows)), cut=cut, drawn=asked.drawn), rows)
        left = Room(room.messages - len(rows), room.size - sum(map(SIZE, rows)))
        if cut and left.messages > 0 and left.size > 0 and len(batch.rows) == len(rows):
            self._asked = self._ask(left)
        return batch

    def saved(self, cursor: Cursor) -> None:
        """Nothing here depends on it."""

    def close(self) -> None:
        """The connection is the ledger's to close."""
        self._cursor.close()
        self._rows.close()

    def _batch_of(self, question: Question, answer: Answer, rows: Sequence[Row]) -> Batch:
        """Take as many rows as may be taken now, and move the frontier behind them."""
        plan = self._admit(rows) if rows else Plan()
        if plan.taken < len(rows):
            answer = replace(answer, seqs=answer.seqs[: plan.taken], cut=True)
        self._voids.note(self._frontier.voided(answer), self._clock())
        self._frontier = self._frontier.apply(question, answer)
        return Batch(plan.send, self._frontier, answer.cut, plan.hold)

    def _read_holders(self) -> list[Holder]:
        began = self._clock()
        self._cursor.execute(self._statements["holders"], self._outbox, prepare=True)
        holders = [Holder(vxid, xid) for vxid, xid in self._cursor.fetchall()]
        ended = self._clock()
        self._holders_due = ended + max(_HOLDERS_EVERY, _HOLDERS_SHARE * (ended - began))
        return holders

    def _look_again(self, void: Gaps) -> None:
        """Look once more at gaps that were closed unseen. A row there breaks a rule: tell, and publish it late."""
        rows = self._cursor.execute(self._statements["late"], _gap_parameters(void), prepare=True).fetchall()
        if rows:
            self._alarm([seq for (seq,) in rows])
            self._frontier = self._frontier.reopened(tuple(Gap(seq, seq) for (seq,) in rows))

    def _read_drawn(self) -> int:
        """Return the last seq that anybody drew."""
        row = self._cursor.execute(self._statements["drawn"], self._outbox, prepare=True).fetchone()
        return 0 if row is None else int(row[0])

    def _ask(self, room: Room) -> _Asked:
        """Learn what is known besides the rows, then ask for them."""
        room = Room(min(room.messages, self._batch), min(room.size, _SIZE))
        if void := self._voids.due(self._clock()):
            self._look_again(void)
        if self._frontier.groups and self._clock() >= self._holders_due:
            self._frontier = self._frontier.observe(self._read_holders())
        drawn = self._read_drawn() if self._labours else 0
        question = self._frontier.question()
        self._send(question, room)
        return _Asked(question, room, drawn)

    def _send(self, question: Question, room: Room) -> None:
        """Send the one statement that shows rows."""
        parameters: dict[str, Any] = {
            "tail": Int8(question.tail),
            "messages": Int8(room.messages),
            "size": Int8(room.size),
            "template": self._template,
        }
        if question.gaps:
            parameters |= _gap_parameters(question.gaps)
        name = "above_and_gaps" if question.gaps else "above"
        with self._conn.sending():
            self._rows.execute(self._statements[name], parameters, prepare=True)

    def _found(self) -> tuple[list[Row], Snapshot | None]:
        """Return its rows; the snapshot that it ran in comes with the first of them."""
        self._conn.receive()
        found = self._rows.fetchall()
        if not found:
            return [], None
        return found, Snapshot.parse(found[0].snapshot or "")


def _gap_parameters(gaps: Gaps) -> dict[str, list[Int8]]:
    """Return the gaps as arrays: those of one seq by equality, the others as ranges."""
    ranges = [gap for gap in gaps if gap.first != gap.last]
    return {
        "singles": [Int8(first) for first, last in gaps if first == last],
        "firsts": [Int8(gap.first) for gap in ranges],
        "lasts": [Int8(gap.last) for gap in ranges],
    }


def _cut(rows: Sequence[Row], room: Room) -> bool:
    """Return whether a limit may have ended the answer. Saying so of one that was not cut costs nothing but a poll.

    Not saying so of one that was would make a gap of a backlog: nothing lost, but nothing said to wait either.
    """
    return len(rows) >= room.messages or _STORED * sum(map(SIZE, rows)) >= room.size
