"""The lead and the cursor, on one session: who loses the session has lost lock, reads and saves alike."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Self

from psycopg import sql
from psycopg.rows import class_row, scalar_row, tuple_row

from txbox.daemon import Database, Link, connect
from txbox.relay.cursor import Cursor, Gap
from txbox.relay.errors import AnotherLeader, Superseded, UnfitSequence
from txbox.relay.guards import Facts, Stored, check, require_fit
from txbox.relay.session import require_own
from txbox.schema import Statements, require

__all__ = ["Ledger", "Saves"]

_SETTINGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        # A cursor that is a little behind repeats rows, it loses none: no save waits for a synchronous standby.
        "synchronous_commit": "local",
        # A leader that is frozen (SIGSTOP, a paused machine), or behind a proxy that swallows what it says, keeps its
        # session: a kernel still answers the server. One that lives is never silent for longer than a few seconds.
        "idle_session_timeout": "20s",
        # The same within a transaction, as when rows are held: there the other one does not count.
        "idle_in_transaction_session_timeout": "20s",
    }
)

_log = logging.getLogger(__name__)


class Ledger:
    """The cursor's row. `take` makes this session the leader, `save` moves its cursor."""

    def __init__(self, conn: Link[Any], database: Database, name: str) -> None:
        self.conn = conn
        self.statements = Statements(__package__, "ledger.sql", database.schema)
        self._schema, self.name = database.schema, name
        self._table = sql.Identifier(database.schema, "outbox").as_string(None)
        self.epoch = 0

    @classmethod
    def open(cls, database: Database, name: str, settings: Mapping[str, str]) -> Self:
        """Return a ledger on a new session. Raises SharedSession, psycopg.Error."""
        conn = connect(Link[Any], database, f"relay {name}", {**_SETTINGS, **settings})
        try:
            require_own(conn, database)
        except BaseException:
            conn.close()
            raise
        return cls(conn, database, name)

    def require_schema(self) -> int:
        """Return the version of the tables, if it is ours. Raises SchemaMissing, NewerDatabase.

        Not asked of a leader, who goes on while the tables are migrated, until a relay of the next version follows.
        """
        return require(self.conn, self._schema)

    def inspect(self) -> Facts:
        """Return what the database is like, if a relay may rely on it.

        Raises SharedSession, InRecovery, HiddenRows, UnfitSequence, WrongCluster, CursorAhead,
        psycopg.Error.
        """
        facts = self.facts()
        with self.conn.cursor(row_factory=scalar_row) as cursor:
            backend = cursor.execute(self.statements["backend"]).fetchone()
        assert backend is not None, "a SELECT without FROM has one row"  # noqa: S101
        require_fit(facts, backend, self._schema)
        stored = self.stored()
        if stored is not None and (stored.sequence_oid != facts.sequence_oid or stored.tail > facts.last_value):
            facts = self.facts()  # those were of before: another leader saved, or the outbox has just been partitioned
        check(self.name, facts, stored, self._schema)
        if stored is not None and stored.timeline not in (None, facts.timeline):
            # Whichever server was promoted, its cursor stands behind its rows: it is read anew, and nothing else is.
            timelines = {"was": stored.timeline, "timeline": facts.timeline}
            _log.warning("another timeline, a failover or a restore: going on from the cursor here", extra=timelines)
        return facts

    def facts(self) -> Facts:
        """Return what the database is like, fit or not. Raises UnfitSequence, psycopg.Error."""
        for _ in range(2):  # the sequence may change between a statement's snapshot and its look at the catalog
            with self.conn.cursor(row_factory=class_row(Facts)) as cursor:
                facts = cursor.execute(self.statements["facts"], {"table": self._table}).fetchone()
            if facts is not None:
                return facts
        raise UnfitSequence(
            "the outbox's seq is no identity column",
            f"ALTER TABLE {self._table} ALTER COLUMN seq ADD GENERATED ALWAYS "
            "AS IDENTITY (CACHE 1), and let it begin above the last seq",
        )

    def accept(self, facts: Facts, *, from_start: bool) -> bool:
        """Let the cursor belong to this database from now on, and COMMIT; return whether there is one.

        It goes on where it stands, or with `from_start` publishes all rows that the outbox holds. Raises AnotherLeader.
        """
        if not self.lock():
            raise AnotherLeader(self.name)
        parameters = {"name": self.name, "from_start": from_start, "system_identifier": facts.system_identifier}
        parameters |= {"sequence_oid": facts.sequence_oid, "sequence_filenode": facts.sequence_filenode}
        return self.conn.execute(self.statements["accept"], parameters).rowcount == 1

    def stored(self) -> Stored | None:
        """Return the cursor's row, None before the first leader."""
        with self.conn.cursor(row_factory=class_row(Stored)) as cursor:
            return cursor.execute(self.statements["read"], {"name": self.name}).fetchone()

    def lock(self) -> bool:
        """Try to become the leader of this name; the lock lasts as long as the session."""
        with self.conn.cursor(row_factory=scalar_row) as cursor:
            lock = f"txbox relay {self._schema} {self.name}"
            return bool(cursor.execute(self.statements["lock"], {"lock": lock}).fetchone())

    def take(self, leader: str, facts: Facts) -> Cursor:
        """Raise the epoch, under the lock, and return the saved cursor; a first one begins before the first row.

        Raises Superseded if the sequence is no longer what `facts` say.
        """
        with self.conn.cursor(row_factory=tuple_row) as cursor:
            row = cursor.execute(
                self.statements["take"],
                {
                    "name": self.name,
                    "leader": leader,
                    "system_identifier": facts.system_identifier,
                    "timeline": facts.timeline,
                    "sequence_oid": facts.sequence_oid,
                    "sequence_filenode": facts.sequence_filenode,
                },
            ).fetchone()
        if row is None:
            raise Superseded(self.name, self.epoch)
        tail, gaps, self.epoch = row
        return Cursor(tail, tuple(Gap(gap.lower, gap.upper - 1) for gap in gaps))

    def save(self, cursor: Cursor) -> None:
        """Make the cursor durable.

        Raises Superseded if another leader took over since `take`, or if the sequence is no longer what it was then.
        """
        gaps = ",".join(f"[{first},{last}]" for first, last in cursor.gaps)
        parameters = {"tail": cursor.tail, "gaps": f"{{{gaps}}}", "name": self.name, "epoch": self.epoch}
        if self.conn.execute(self.statements["save"], parameters).rowcount == 0:
            raise Superseded(self.name, self.epoch)

    @contextmanager
    def mine(self) -> Iterator[None]:
        """A transaction that COMMITs only if the lead is ours: whatever the leader writes besides its cursor.

        Raises Superseded if another leader took over since `take`; then nothing in it has happened.
        """
        with self.conn.transaction():
            if self.conn.execute(self.statements["mine"], {"name": self.name, "epoch": self.epoch}).rowcount == 0:
                raise Superseded(self.name, self.epoch)
            yield

    def outlook(self, tail: int) -> tuple[int, float | None]:
        """Return how many seqs wait above `tail`, and when the oldest row there was written (Unix time)."""
        with self.conn.cursor(row_factory=tuple_row) as cursor:
            row = cursor.execute(self.statements["outlook"], {"table": self._table, "tail": tail}).fetchone()
        assert row is not None, "a SELECT without FROM has one row"  # noqa: S101
        return row

    def close(self) -> None:
        """End the session, and the lead with it."""
        self.conn.close()


@dataclass(slots=True, kw_only=True)
class Saves:
    """When to save: not more often than `every` seconds, nor than a twentieth of the time may go into saving."""

    every: float
    clock: Callable[[], float]
    _due: float = 0.0

    def due(self) -> bool:
        """Return whether it is time."""
        return self.clock() >= self._due

    def saved(self, began: float) -> None:
        """Note that a save which began at `began` is done."""
        ended = self.clock()
        self._due = began + max(self.every, 20 * (ended - began))
