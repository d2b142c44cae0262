"""Makes partitions of the outbox, and more of them, while writers and relays go on.

Each step locks the outbox for an instant, and waits for that less than a second, so long as writers that come then
wait too; when it does not get the lock it lets them pass and tries again. A step that fails, or whose process
dies, leaves an outbox that works; the next call goes on from there.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar, assert_never

from psycopg import Connection, errors, sql
from psycopg.pq import TransactionStatus
from psycopg.rows import scalar_row, tuple_row

from txbox.schema.errors import SchemaError, Unpartitionable
from txbox.schema.locks import PATIENCE, Sleep, keep_short, patiently
from txbox.schema.partitions import AHEAD, FAR, Layout, Part, Step, layout, next_step, parts_of
from txbox.schema.statements import Statements, compose

__all__ = ["drop", "obstacles", "partition"]

T = TypeVar("T")

_END: Final = "outbox_end"
_LARGEST: Final = 10**10

_MINVALUE, _MAXVALUE = sql.SQL("MINVALUE"), sql.SQL("MAXVALUE")


def obstacles(conn: Connection[Any], schema: str = "txbox") -> list[str]:
    """Return what hangs on the plain outbox that partitions would not take over."""
    return _Outbox(conn, schema).ask("obstacles")


def partition(
    conn: Connection[Any],
    schema: str = "txbox",
    *,
    rows: int | None = None,
    patience: float = PATIENCE,
    told: Callable[[Step], object] = lambda _: None,
    sleep: Sleep = time.sleep,
) -> tuple[Step, ...]:
    """Partition the outbox, or make more partitions where there are too few, and COMMIT; return what was done.

    `rows` is how many seqs a partition has, by default as many as the last one. `told` hears of each step before it.
    Takes a connection in autocommit: each step is a transaction of its own. Raises SchemaBusy (then nothing of that
    step was done), Unpartitionable, SchemaError when `conn` is another or in a transaction, psycopg.Error.
    """
    if not conn.autocommit or conn.info.transaction_status != TransactionStatus.IDLE:
        raise SchemaError("partition commits: call it on a connection in autocommit that is in no transaction")
    if rows is not None and not 1 <= rows <= _LARGEST:
        raise ValueError(f"a partition has between 1 and {_LARGEST:,} rows")
    outbox, done = _Outbox(conn, schema, patience, sleep), list[Step]()
    while step := next_step(now := layout(conn, schema)):
        told(step)
        with suppress(_Moved):
            outbox.take(step, now, rows or now.rows)
            done.append(step)
    return tuple(done)


def drop(
    conn: Connection[Any],
    schema: str,
    part: Part,
    allowed: Callable[[], bool],
    *,
    patience: float = PATIENCE,
    sleep: Sleep = time.sleep,
) -> bool:
    """Drop a partition and COMMIT, if `allowed`, asked when nobody else is at the outbox, still says so.

    Returns whether it was dropped, by us and not by somebody else. Raises SchemaBusy, psycopg.Error.
    """
    outbox = _Outbox(conn, schema, patience, sleep)
    return outbox.patiently(lambda share: outbox.drop(part, allowed, share))


class _Moved(Exception):
    """Somebody else made partitions meanwhile: what is to be done is another thing now."""


class _Outbox:
    """The statements of one outbox."""

    def __init__(
        self, conn: Connection[Any], schema: str, patience: float = PATIENCE, sleep: Sleep = time.sleep
    ) -> None:
        self._conn, self._schema, self._patience, self._sleep = conn, schema, patience, sleep
        self._statements = Statements(__package__, "partitions.sql", schema)
        self._table = sql.Identifier(schema, "outbox").as_string(None)
        self._names = {
            "table": self._table,
            "view": sql.Identifier(schema, "outbox_readable").as_string(None),
            "sequence": sql.Identifier(schema, "outbox_seq_seq").as_string(None),
        }

    def patiently(self, attempt: Callable[[float], T]) -> T:
        """Return what the attempt returns, tried again while the outbox is in use."""
        return patiently(self._conn, self._schema, attempt, patience=self._patience, sleep=self._sleep)

    def take(self, step: Step, now: Layout, rows: int) -> None:
        """Do one step, and COMMIT."""
        match step:
            case Step.WRAP:
                found = self.ask("obstacles")
                if found and parts_of(self._conn, self._schema) is None:  # else what hangs on it is its partitions
                    raise Unpartitionable(self._schema, found)
                self.patiently(lambda share: self._wrap(now, share))
            case Step.CLOSE:
                bound = (now.drawn // FAR + 2) * FAR
                self._close(now, bound, rows)
            case Step.JUMP:
                to = next(p.upper - 1 for p in now.parts or () if p.upper and p.upper > now.drawn)
                self.patiently(lambda _: self._jump(now, to))
            case Step.EXTEND:
                self.patiently(lambda share: self._extend(now, rows, share))
            case unknown:
                assert_never(unknown)

    def drop(self, part: Part, allowed: Callable[[], bool], share: float) -> bool:
        """Drop a partition, if it may still go, and COMMIT."""
        with self._alone(share, None):
            if part.name not in {found.name for found in parts_of(self._conn, self._schema) or ()}:
                return False
            self.do("lock_part", part=sql.Identifier(part.name))
            if not allowed():
                return False
            self.do("drop", part=sql.Identifier(part.name))
        return True

    def ask(self, name: str, **parameters: object) -> list[Any]:
        """Return the first column of a statement's answer."""
        with self._conn.cursor(row_factory=scalar_row) as cursor:
            return cursor.execute(self._statements[name], self._names | parameters).fetchall()

    def do(self, name: str, **parts: sql.Composable) -> None:
        """Run a statement of partitioning.sql."""
        schema = sql.Identifier(self._schema)
        self._conn.execute(compose(__package__, "partitioning.sql", name, schema=schema, **parts))

    @contextmanager
    def _first(self, now: Layout | None) -> Iterator[None]:
        """A transaction in which nobody else makes partitions. Raises _Moved if somebody did since `now`."""
        with self._conn.transaction():
            self.do("lock")
            if now is not None and parts_of(self._conn, self._schema) != now.parts:
                raise _Moved
            yield

    @contextmanager
    def _alone(
        self, share: float, now: Layout | None, *parts: str, before: Callable[[], object] = lambda: None
    ) -> Iterator[None]:
        """A transaction that has the outbox and some of its partitions for itself; what goes `before` keeps nobody."""
        with self._first(now):
            before()
            if self.ask("hopeless") == [True]:
                raise errors.LockNotAvailable("others have used the outbox for seconds")
            keep_short(self._conn, self._schema, share)
            self.do("lock_alone")
            for part in parts:
                self.do("lock_part", part=sql.Identifier(part))
            yield

    def _wrap(self, now: Layout, share: float) -> None:
        with self._alone(share, now):
            # Who drew a seq first and inserts then waits for us by now: so here we hardly wait at all.
            keep_short(self._conn, self._schema, 0.1)
            [sequence] = self.ask("sequence_name")
            self.do("lock_sequence", sequence=sql.SQL(sequence))
            with self._conn.cursor(row_factory=tuple_row) as cursor:
                last, old = cursor.execute(self._statements["last"], self._names).fetchone() or (None, 0)
            rights, [view] = self.ask("rights"), self.ask("view")
            self.do("make_way")
            self.do("make_parent")
            self.do("make_view", definition=sql.SQL(view.rstrip(";")))
            self.ask("go_on", last=last)
            for statement in rights:
                self._conn.execute(statement)
            self.do("follow", table=sql.Literal(self._table), old=sql.Literal(old))

    def _close(self, now: Layout, bound: int, rows: int) -> None:
        """Give the last partition an upper bound, far away, and put others behind it."""
        end = now.end
        if end is None:
            raise SchemaError(
                f"the outbox of schema {self._schema!r} has no partition without an upper end: writers will fail. "
                f"Mend: CREATE TABLE {self._schema}.{_END} PARTITION OF {self._table} FOR VALUES FROM (the last "
                "partition's end) TO (MAXVALUE)"
            )
        part, name = sql.Identifier(end.name), f"outbox_p{end.lower or 0}"
        constraint = self.patiently(lambda share: self._set_below(now, end, bound, share))
        bound = int(constraint.rpartition("_")[2])
        self.patiently(lambda _: self._validate(now, part, sql.Identifier(constraint)))

        def close(share: float) -> None:
            with self._alone(share, now, end.name, before=lambda: self._make(bound, rows, AHEAD)):
                self.do("detach", part=part)
                if name != end.name:
                    self.do("rename_key", part=part, old=_key(end.name), new=_key(name))
                    self.do("rename", part=part, to=sql.Identifier(name))
                lower = _MINVALUE if end.lower is None else sql.Literal(end.lower)
                self._attach(name, lower, sql.Literal(bound))
                self.do("drop_below", part=sql.Identifier(name), constraint=sql.Identifier(constraint))
                self._attach_new(bound, rows, AHEAD)
                self._make_part(_END)
                self._attach(_END, sql.Literal(bound + AHEAD * rows), _MAXVALUE)

        self.patiently(close)

    def _jump(self, now: Layout, to: int) -> None:
        # Of two at once, one that looked before the other had jumped would set the sequence back behind writers.
        with self._first(now):
            self.ask("jump", to=to)

    def _extend(self, now: Layout, rows: int, share: float) -> None:
        """Move the last partition, which is empty, further up, and put others into its place."""
        end, count = now.end, AHEAD - now.ahead
        assert end is not None, "next_step says so"  # noqa: S101
        assert end.lower is not None, "next_step says so"  # noqa: S101
        start = end.lower
        with self._alone(share, now, end.name, before=lambda: self._make(start, rows, count)):
            self.do("detach", part=sql.Identifier(end.name))
            self._attach_new(start, rows, count)
            # Fails, and takes all back, if somebody wrote a row into it with a seq of his own.
            self._attach(end.name, sql.Literal(start + count * rows), _MAXVALUE)

    def _set_below(self, now: Layout, end: Part, bound: int, share: float) -> str:
        """Let the last partition take no seq from `bound` on, if none is set yet; return the constraint's name."""
        with self._first(now):
            found: list[str] = self.ask("below", part=sql.Identifier(self._schema, end.name).as_string(None))
            if not found:
                keep_short(self._conn, self._schema, share)
                found = [f"outbox_below_{bound}"]
                part, constraint = sql.Identifier(end.name), sql.Identifier(found[0])
                lower = sql.SQL("seq") if end.lower is None else sql.Literal(end.lower)  # none is below itself
                self.do("set_below", part=part, constraint=constraint, lower=lower, upper=sql.Literal(bound))
            return found[0]

    def _validate(self, now: Layout, part: sql.Identifier, constraint: sql.Identifier) -> None:
        with self._first(now):
            self._conn.execute("SET LOCAL statement_timeout = 0")  # it reads the whole partition
            self.do("validate", part=part, constraint=constraint)

    def _make(self, start: int, rows: int, count: int) -> None:
        for lower in range(start, start + count * rows, rows):
            self._make_part(f"outbox_p{lower}")

    def _make_part(self, name: str) -> None:
        [owner] = self.ask("owner")
        self.do("make_part", part=sql.Identifier(name), pkey=_key(name))
        self.do("own_part", part=sql.Identifier(name), owner=sql.Identifier(owner))

    def _attach_new(self, start: int, rows: int, count: int) -> None:
        for lower in range(start, start + count * rows, rows):
            self._attach(f"outbox_p{lower}", sql.Literal(lower), sql.Literal(lower + rows))

    def _attach(self, name: str, lower: sql.Composable, upper: sql.Composable) -> None:
        self.do("attach", part=sql.Identifier(name), lower=lower, upper=upper)


def _key(part: str) -> sql.Identifier:
    """Return the name of a partition's primary key."""
    return sql.Identifier(f"{part}_pkey")
