"""Numbered steps from an empty database to `schema.sql`, each run once and noted in a ledger.

What is to be run is decided by `pending`, a pure function; `migrate` carries it out, one transaction a step.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import resources

from psycopg import Connection, sql
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from txbox.schema.errors import EditedMigration, NewerDatabase, SchemaError, SchemaMissing
from txbox.schema.locks import PATIENCE, keep_short, patiently
from txbox.schema.statements import Statements, render

__all__ = ["Applied", "Migration", "Status", "known", "migrate", "pending", "plan", "require", "status"]

_FILE = re.compile(r"(?P<version>\d{4})_(?P<name>[a-z0-9_]+)\.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One step: a file `NNNN_what.sql`."""

    #: 1, 2, 3, ... without gaps
    version: int
    name: str
    #: the SQL, with `{schema}` where the schema's name belongs
    text: str

    @property
    def checksum(self) -> str:
        """Return what the ledger remembers of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """A line of the ledger: a step that ran in this database."""

    version: int
    name: str
    checksum: str
    applied_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What a database has and what it lacks."""

    schema: str
    #: version of the last step that ran, 0 for none
    version: int
    applied: tuple[Applied, ...]
    pending: tuple[Migration, ...]


@cache
def known() -> tuple[Migration, ...]:
    """Return all steps that this txbox has, in order."""
    found = []
    for file in resources.files(__package__).joinpath("migrations").iterdir():
        if match := _FILE.fullmatch(file.name):
            found.append(Migration(version=int(match["version"]), name=match["name"], text=file.read_text("utf-8")))
    return tuple(sorted(found, key=lambda migration: migration.version))


def pending(schema: str, steps: Sequence[Migration], applied: Sequence[Applied]) -> tuple[Migration, ...]:
    """Return the steps that are still to be run, in order.

    Raises NewerDatabase if the ledger goes beyond `steps`, EditedMigration if one of its checksums differs.
    """
    by_version = {step.version: step for step in steps}
    latest = max(by_version, default=0)
    for done in applied:
        if done.version > latest:
            raise NewerDatabase(schema, max(line.version for line in applied), latest)
        if by_version[done.version].checksum != done.checksum:
            raise EditedMigration(schema, done.version, done.name)
    ran = {done.version for done in applied}
    return tuple(step for step in steps if step.version not in ran)


def status(conn: Connection, schema: str = "txbox") -> Status:
    """Return which steps ran in `schema` and which are to be run; changes nothing.

    Raises NewerDatabase, EditedMigration.
    """
    applied = _applied(conn, schema)
    version = max((done.version for done in applied), default=0)
    return Status(schema=schema, version=version, applied=applied, pending=pending(schema, known(), applied))


def plan(conn: Connection, schema: str = "txbox") -> tuple[Migration, ...]:
    """Return the steps that `migrate` would run now; changes nothing. Raises NewerDatabase, EditedMigration."""
    return status(conn, schema).pending


def require(conn: Connection, schema: str = "txbox") -> int:
    """Return the schema's version if all of this txbox's steps ran.

    Raises SchemaMissing, NewerDatabase, EditedMigration.
    """
    now = status(conn, schema)
    if now.pending:
        raise SchemaMissing(schema, now.version, now.pending[-1].version)
    return now.version


def migrate(conn: Connection, schema: str = "txbox", *, patience: float = PATIENCE) -> tuple[Migration, ...]:
    """Run and COMMIT all pending steps, each in a transaction of its own; return those that ran.

    Safe to run from many places at once and to run again: each step runs once. A step that fails leaves the database
    as the step before it did. Beside writers and relays: a step waits for a lock less than a second, and is tried
    again for `patience` seconds. Raises NewerDatabase, EditedMigration, SchemaBusy when the tables were in use
    all that time, and SchemaError when `conn` is in a transaction.
    """
    if conn.info.transaction_status != TransactionStatus.IDLE:
        raise SchemaError("migrate commits: call it on a connection that is in no transaction")
    ran: list[Migration] = []
    while step := patiently(conn, schema, lambda share: _run_next(conn, schema, share), patience=patience):
        ran.append(step)
    return tuple(ran)


def _run_next(conn: Connection, schema: str, share: float) -> Migration | None:
    """Run the first pending step, if there is one, under the migrators' lock."""
    statements = Statements(__package__, "migrations.sql", schema)
    with conn.transaction():
        conn.execute(statements["lock"], {"schema": schema})
        steps = pending(schema, known(), _applied(conn, schema))
        if not steps:
            return None
        step = steps[0]
        keep_short(conn, schema, share)
        conn.execute(render(resources.files(__package__).joinpath("ledger.sql").read_text("utf-8"), schema))
        conn.execute(render(step.text, schema))
        conn.execute(statements["note"], {"version": step.version, "name": step.name, "checksum": step.checksum})
        return step


def _applied(conn: Connection, schema: str) -> tuple[Applied, ...]:
    """Read the ledger; empty when it is not there."""
    statements = Statements(__package__, "migrations.sql", schema)
    ledger = sql.Identifier(schema, "migration").as_string(None)
    with conn.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(statements["has_ledger"], {"ledger": ledger}).fetchone()
        if row is None or not row[0]:
            return ()
        rows = cursor.execute(statements["applied"]).fetchall()
    return tuple(Applied(version=v, name=n, checksum=c, applied_at=at) for v, n, c, at in rows)
