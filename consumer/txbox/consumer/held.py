"""Messages that were taken but have not had their effect. Each has one row, and the row is the right to run it.

A key is held while it has a row that blocks: what comes after it goes behind it. The first row of a key is its head,
and the only one with a time at which it is due; those behind it are due when it is gone.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row, scalar_row, tuple_row

from txbox.consumer.dead_letters import DeadLetters
from txbox.consumer.outcomes import explain
from txbox.consumer.policy import Dead, Fate, Reason, Then, Waiting
from txbox.consumer.received import Received, Record, Unreadable, read, written_at
from txbox.consumer.stored import record_of, storable, stored_headers
from txbox.schema import Statements

__all__ = ["NOWHERE", "Held", "HeldRow", "Place", "place_of"]

#: bytes of a key by which it is known: an index entry holds no more
_KEY: Final = 1000


class Place(NamedTuple):
    """What order is kept within. Keys that begin with the same 1,000 bytes are held as one."""

    topic: str
    key: bytes


#: before all places
NOWHERE: Final = Place("", b"")


def place_of(topic: str, key: bytes | None) -> Place | None:
    """Return where a message has its order; None without a key, since it has none then."""
    return None if key is None else Place(topic, key[:_KEY])


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldRow:
    """A held message that is to be tried. Fields are the columns of `take` in held.sql."""

    message_id: UUID
    state: str
    blocks: bool
    attempts: int
    #: whether its time has come
    due: bool
    key: bytes | None
    payload: bytes | None
    headers: Sequence[tuple[str, str | None]]
    topic: str
    kafka_partition: int
    kafka_offset: int
    record_timestamp: datetime | None
    first_failed_at: datetime

    @property
    def place(self) -> Place | None:
        """Where it has its order; None for one that is beside its key: those behind it were let go."""
        return place_of(self.topic, self.key) if self.blocks else None

    @property
    def record(self) -> Record:
        """The record that it came as."""
        return record_of(
            topic=self.topic,
            partition=self.kafka_partition,
            offset=self.kafka_offset,
            timestamp=self.record_timestamp,
            key=self.key,
            payload=self.payload,
            headers=self.headers,
        )

    def read(self) -> Received | Unreadable:
        """Return the message, under the id by which it was taken."""
        found = read(self.record, self.attempts + 1)
        if isinstance(found, Unreadable):
            return replace(found, id=self.message_id)
        return replace(found, id=self.message_id, out_of_order=self.key is not None and not self.blocks)


class Held:
    """The held messages of one consumer, on one connection, in the caller's transaction."""

    def __init__(
        self, conn: Connection[Any], schema: str, consumer_id: int, letters: DeadLetters | None = None
    ) -> None:
        """With `letters`, each message that becomes dead is copied to a topic for others to see."""
        self._letters = letters
        self._statements = Statements(__package__, "held.sql", schema)
        self._conn = conn
        self._consumer_id = consumer_id

    def lengths(self, places: Collection[Place], most: int) -> dict[Place, int]:
        """Return which of the keys are held, and by how many rows: `most` for as many or more.

        Not in the statement that takes the ids: this one must see what that one waited for.
        """
        if not places:
            return {}
        given = {"topics": [p.topic for p in places], "keys": [p.key for p in places], "most": most, **self._ours}
        with self._conn.cursor(row_factory=tuple_row) as cursor:
            found = cursor.execute(self._statements["lengths"], given, prepare=True).fetchall()
        return {Place(topic, bytes(key)): count for topic, key, count in found}

    def hold(self, record: Record, message: Received, error: Exception, fate: Fate, *, then: Then) -> None:
        """Put aside a message whose handler failed for the first time."""
        keyed, told = message.key is not None, explain(error)
        self._insert([self._row(record, message.id, message.type, 1, told, **_columns(fate, then, keyed))])
        if self._letters and isinstance(fate, Dead):
            self._letters.write(self._conn, record, message.id, reason=fate.reason, told=told, error=error, attempts=1)

    def follow(self, messages: Iterable[tuple[Record, Received]]) -> None:
        """Put messages behind those of their key."""
        columns = {"state": "waiting", "reason": Reason.FOLLOWS, "blocks": True, "delay": None}
        self._insert([self._row(record, message.id, message.type, 0, None, **columns) for record, message in messages])

    def bury(self, messages: Iterable[Unreadable]) -> None:
        """Keep messages that can never be handled, all their bytes included. They are in nobody's way."""
        columns = {"state": "dead", "blocks": False, "delay": None}
        dead = list(messages)
        self._insert([self._row(m.record, m.id, m.type, 0, m.error, reason=m.reason, **columns) for m in dead])
        if self._letters:
            for m in dead:
                self._letters.write(self._conn, m.record, m.id, reason=m.reason, told=m.error, error=None, attempts=0)

    def due(self, most: int) -> list[UUID]:
        """Return messages whose time has come, the longest due first."""
        return self._ids("due", most=most)

    def freed(self, after: Place, keys: int) -> tuple[list[UUID], Place]:
        """Return messages that have become the first of their key without anybody's being told.

        Looks at so many held keys after a place, and returns where to go on: NOWHERE when it came to the end.
        """
        given = {"topic": after.topic, "key": after.key, "keys": keys, **self._ours}
        with self._conn.cursor(row_factory=tuple_row) as cursor:
            rows = cursor.execute(self._statements["freed"], given, prepare=True).fetchall()
        ids = [id_ for _, _, id_, is_freed, _ in rows if is_freed]
        return ids, Place(rows[-1][0], bytes(rows[-1][1])) if rows and rows[-1][4] else NOWHERE

    def soonest(self, most: int) -> list[UUID]:
        """Return messages that wait for their time."""
        return self._ids("soonest", most=most)

    def take(self, ids: Sequence[UUID]) -> list[HeldRow]:
        """Lock those of the rows that are there and that nobody is at, and return them in order."""
        if not ids:
            return []
        with self._conn.cursor(row_factory=class_row(HeldRow)) as cursor:
            return cursor.execute(self._statements["take"], {"ids": list(ids), **self._ours}).fetchall()

    def take_line(self, place: Place, most: int, size: int) -> list[HeldRow]:
        """Lock the first rows of a key, up to the first that somebody is at or that does not wait; in order.

        Up to `most`, and about `size` bytes. Two statements, since one that passes over locked rows would take those
        behind them for the first.
        """
        line: list[UUID] = []
        for id_, bytes_ in self._line(place, most):
            if line and (size := size - bytes_) < 0:
                break
            line.append(id_)
        taken = {row.message_id: row for row in self.take(line)}
        first: list[HeldRow] = []
        for id_ in line:
            if id_ not in taken or taken[id_].state != "waiting":
                break
            first.append(taken[id_])
        return first

    def is_first(self, row: HeldRow) -> bool:
        """Return whether nothing comes before a row, which must be locked: only then what it sees is the last word."""
        return row.place is None or [id_ for id_, _ in self._line(row.place, 1)] == [row.message_id]

    def done(self, ids: Sequence[UUID]) -> None:
        """Delete the rows of messages that have had their effect."""
        self._conn.execute(self._statements["done"], {"ids": list(ids), **self._ours})

    def failed(self, row: HeldRow, error: Exception | str, fate: Fate, *, then: Then, flush: bool = True) -> None:
        """Note that a message's handler failed once more.

        Without `flush` COMMIT does not wait for the disk, if the message waits: where nothing else is in the
        transaction. A crash of the server may forget the attempt then, and there is one more.
        """
        text = error if isinstance(error, str) else explain(error)
        columns = _columns(fate, then, keyed=row.key is not None)
        flush = flush or isinstance(fate, Dead)
        given = {"id": row.message_id, "error": storable(text), "flush": flush, **columns, **self._ours}
        self._conn.execute(self._statements["failed"], given)
        if self._letters and isinstance(fate, Dead):
            self._letters.write(
                self._conn,
                row.record,
                row.message_id,
                reason=fate.reason,
                told=text,
                error=None if isinstance(error, str) else error,
                attempts=row.attempts + 1,
                first_failed_at=row.first_failed_at,
            )

    def forgive(self, ids: Sequence[UUID]) -> None:
        """Give messages back an attempt that was not theirs to lose."""
        if ids:
            self._conn.execute(self._statements["forgive"], {"ids": list(ids), **self._ours})

    def counts(self) -> Mapping[str, int]:
        """Return how many wait, and how many are dead. Counted: slow where there are very many."""
        with self._conn.cursor(row_factory=tuple_row) as cursor:
            return {"waiting": 0, "dead": 0, **dict(cursor.execute(self._statements["counts"], self._ours).fetchall())}

    @property
    def _ours(self) -> dict[str, int]:
        return {"consumer": self._consumer_id}

    def _ids(self, statement: str, **parameters: int) -> list[UUID]:
        with self._conn.cursor(row_factory=scalar_row) as cursor:
            found = cursor.execute(self._statements[statement], {**parameters, **self._ours}, prepare=True)
            return list(found.fetchall())

    def _line(self, place: Place, most: int) -> list[tuple[UUID, int]]:
        given = {"topic": place.topic, "key": place.key, "most": most, **self._ours}
        with self._conn.cursor(row_factory=tuple_row) as cursor:
            return cursor.execute(self._statements["line"], given).fetchall()

    def _insert(self, rows: Sequence[dict[str, object]]) -> None:
        if rows:
            self._conn.cursor().executemany(self._statements["hold"], rows)

    def _row(
        self, record: Record, id_: UUID, type_: str | None, attempts: int, error: str | None, **columns: object
    ) -> dict[str, object]:
        return {
            "id": id_,
            "error": storable(error),
            "attempts": attempts,
            "key": record.key,
            "type": storable(type_),
            "payload": record.value,
            "headers": stored_headers(record.headers),
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "timestamp": written_at(record),
            **columns,
            **self._ours,
        }


def _columns(fate: Fate, then: Then, keyed: bool) -> dict[str, object]:
    match fate:
        case Waiting(delay, reason):
            return {"state": "waiting", "reason": reason, "blocks": keyed, "delay": delay}
        case Dead(reason):
            return {"state": "dead", "reason": reason, "blocks": keyed and then == "hold", "delay": None}
