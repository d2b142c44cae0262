"""Three ways to read an outbox, and a judge over what they read."""

import json
from collections.abc import Iterable, Sequence
from random import Random
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import psycopg

from tests.integration.relay.polling import polling
from txbox.daemon import Database, Link, connect
from txbox.relay.batch import Plan, Room, Row
from txbox.relay.cursor import Cursor
from txbox.relay.poll import SETTINGS

__all__ = [
    "GapAware",
    "LastSeq",
    "Reader",
    "Seen",
    "Verdict",
    "XidHorizon",
    "has_read",
    "judge",
    "truth_of",
]

_LAST_SEQ = "SELECT seq, id, payload FROM txbox.outbox WHERE seq > %s ORDER BY seq"
_XID_HORIZON = """
SELECT o.xmin::text::bigint AS xid, seq, id, payload
FROM txbox.outbox AS o
WHERE (o.xmin::text::bigint, seq) > (%s, %s)
    AND o.xmin::text::bigint < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
ORDER BY xid, seq
"""


class Seen(NamedTuple):
    """A message as it was written or read."""

    id: UUID
    key: int
    n: int

    @classmethod
    def of(cls, id_: UUID | str, payload: bytes | None) -> "Seen":
        body = json.loads(payload or b"{}")
        return cls(UUID(str(id_)), body["key"], body["n"])


class Verdict(NamedTuple):
    """How often each promise was broken."""

    lost: int = 0
    ghosts: int = 0
    repeated: int = 0
    misordered: int = 0


def truth_of(conn: psycopg.Connection[Any]) -> set[Seen]:
    """What was committed, as the writers noted it themselves."""
    return {Seen(*row) for row in conn.execute("SELECT id, key, n FROM stress_journal")}


def judge(truth: set[Seen], published: Iterable[Seen]) -> Verdict:
    """Hold what was published, in its order, against what was committed."""
    first: dict[Seen, None] = {}
    repeated = misordered = 0
    highest: dict[int, int] = {}
    for seen in published:
        if seen in first:
            repeated += 1
            continue
        first[seen] = None
        misordered += seen.n < highest.get(seen.key, 0)
        highest[seen.key] = max(seen.n, highest.get(seen.key, 0))
    return Verdict(len(truth - first.keys()), len(first.keys() - truth), repeated, misordered)


class Reader(Protocol):
    """A cursor, with all that it has read."""

    seen: list[Seen]

    def poll(self) -> None: ...
    def close(self) -> None: ...


def has_read(reader: Reader, truth: set[Seen]) -> bool:
    """Poll, and return whether everything was read."""
    reader.poll()
    return truth <= set(reader.seen)


class GapAware:
    """The real one, with limits that vary. Now and then it reconnects, with the cursor that it saved."""

    def __init__(self, database: Database, seed: int = 0) -> None:
        self._database, self._random = database, Random(seed)
        self.seen: list[Seen] = []
        self.cursor = Cursor()
        self._connect()

    def poll(self) -> None:
        room = Room(self._random.choice((1, 3, 50, 500, 500)), self._random.choice((50, 1_000_000)))
        batch = self._poll.read(room)
        self.seen += [Seen.of(row.id, row.payload) for row in batch.rows]
        self.cursor = batch.frontier.cursor
        if self._random.random() < 0.002:
            self.reconnect()

    def reconnect(self) -> None:
        self.close()
        self._connect()

    def is_decided(self) -> bool:
        """Poll, and return whether no gap is left."""
        self.poll()
        return not self.cursor.gaps

    def close(self) -> None:
        self._conn.close()

    def _connect(self) -> None:
        self._conn = connect(Link[Any], self._database, "stress", SETTINGS)
        self._poll = polling(self._conn, self.cursor, batch=self._random.choice((5, 500)), admit=self._admit)

    def _admit(self, rows: Sequence[Row]) -> Plan:
        taken = self._random.choice((len(rows), len(rows), len(rows) // 2))
        return Plan(rows[:taken], (), taken)


class LastSeq:
    """Broken: remembers the last seq that it saw."""

    def __init__(self, database: Database) -> None:
        self._conn = psycopg.connect(database.url, autocommit=True)
        self.seen: list[Seen] = []
        self._last = 0

    def poll(self) -> None:
        for seq, id_, payload in self._conn.execute(_LAST_SEQ, [self._last]):
            self.seen.append(Seen.of(id_, payload))
            self._last = seq

    def close(self) -> None:
        self._conn.close()


class XidHorizon:
    """Broken: reads in order of transaction ids, below the oldest that is in progress."""

    def __init__(self, database: Database) -> None:
        self._conn = psycopg.connect(database.url, autocommit=True)
        self.seen: list[Seen] = []
        self._last = (0, 0)

    def poll(self) -> None:
        for xid, seq, id_, payload in self._conn.execute(_XID_HORIZON, self._last):
            self.seen.append(Seen.of(id_, payload))
            self._last = (xid, seq)

    def close(self) -> None:
        self._conn.close()
