"""`txbox db`: the tables."""

import click
from psycopg import Connection

from txbox.cli.options import Values, settings
from txbox.cli.output import Unhealthy, output_option, say, show
from txbox.daemon import connect
from txbox.schema import migrate as migrate_schema
from txbox.schema import status as schema_status
from txbox.schema.migrations import known


@click.group()
def db() -> None:
    """The tables in PostgreSQL."""


@db.command()
@settings("database")
@output_option
def migrate(values: Values) -> None:
    """Bring the tables up to date. Safe to run again, and from many places at once."""
    database = values.database()
    with connect(Connection, database, "db migrate") as conn:
        ran = migrate_schema(conn, database.schema)
    say(f"{len(ran)} migrations ran" if ran else "up to date, nothing to run")
    show([{"version": step.version, "name": step.name} for step in ran])


@db.command()
@settings("database")
@output_option
def status(values: Values) -> None:
    """Which migrations ran, and which are to be run (exit 3 if any)."""
    database = values.database()
    with connect(Connection, database, "db status") as conn:
        now = schema_status(conn, database.schema)
    ran = {step.version: step.applied_at for step in now.applied}
    show([{"version": s.version, "name": s.name, "applied_at": ran.get(s.version)} for s in known()])
    if now.pending:
        raise Unhealthy(f"{len(now.pending)} migrations to run: txbox db migrate")
