"""Changing tables while others write to them.

Whoever waits for a lock that excludes writers is a gate: all who come later queue up behind it. So nothing here waits
for longer than three quarters of a second, at first a quarter; what did not get its locks by then gives way, lets the
others pass, and tries again.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from psycopg import Connection, errors
from psycopg.rows import class_row
from psycopg.types.numeric import Float8

from txbox.schema.errors import SchemaBusy
from txbox.schema.statements import Statements

__all__ = ["PATIENCE", "Sleep", "User", "in_use", "keep_short", "patiently"]

T = TypeVar("T")

#: waits so many seconds
Sleep = Callable[[float], object]

#: seconds that a change waits for its turn, all tries together, unless it is told otherwise
PATIENCE: Final = 60.0
#: seconds between tries: the first, and the longest
_PAUSE: Final = 0.5
_LONGEST: Final = 2.0
#: how long to wait for a lock, in shares of deadlock_timeout (a second): the first try, the second, all others
_SHARES: Final = (0.25, 0.5, 0.75)


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A transaction that has a lock on one of our tables. Fields are the columns of `in_use` in locks.sql."""

    #: None for a prepared transaction
    pid: int | None
    application: str
    state: str
    seconds: float

    def __str__(self) -> str:
        who = "a prepared transaction (pg_prepared_xacts)" if self.pid is None else f"pid {self.pid}"
        return f"{who}, {self.application or 'unnamed'}, {self.state}, for {self.seconds:.1f} s"


def in_use(conn: Connection[Any], schema: str) -> list[User]:
    """Return who uses the tables of `schema`, longest first, five at most."""
    with conn.cursor(row_factory=class_row(User)) as cursor:
        return cursor.execute(Statements(__package__, "locks.sql", schema)["in_use"], {"schema": schema}).fetchall()


def keep_short(conn: Connection[Any], schema: str, share: float) -> None:
    """Let no statement of the transaction that is open wait for a lock for longer than a share of a second.

    Or of deadlock_timeout, where that is shorter: whoever deadlocks with us, it is we who give up and never a writer.
    Nor keep its locks for longer than two seconds with nothing said.
    """
    conn.execute(Statements(__package__, "locks.sql", schema)["keep_short"], {"share": Float8(share)})


def patiently(
    conn: Connection[Any],
    schema: str,
    attempt: Callable[[float], T],
    *,
    patience: float = PATIENCE,
    sleep: Sleep = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> T:
    """Return what `attempt` returns, tried again for `patience` seconds while locks that it needs are taken.

    An attempt is a transaction of its own, which calls `keep_short` with the share that it is given. Raises
    SchemaBusy, with who is in the way.
    """
    deadline, pause, shares = clock() + patience, _PAUSE, iter(_SHARES)
    while True:
        try:
            return attempt(next(shares, _SHARES[-1]))
        except (errors.LockNotAvailable, errors.DeadlockDetected) as error:
            with conn.transaction():  # none stays open without autocommit, or the next attempt would be a part of it
                users = in_use(conn, schema)
            if clock() + pause > deadline:
                raise SchemaBusy(schema, patience, [str(user) for user in users]) from error
        sleep(pause)
        pause = min(2 * pause, _LONGEST)
