"""`txbox db`: the tables."""

import click
from psycopg import Connection

from txbox.cli.adopt import adopt
from txbox.cli.options import Values, settings
from txbox.cli.output import Unhealthy, output_option, say, show
from txbox.cli.settings import Duration
from txbox.daemon import connect
from txbox.schema import Layout, Step, Unpartitionable, layout, obstacles, planned, require
from txbox.schema import migrate as migrate_schema
from txbox.schema import partition as partition_outbox
from txbox.schema import status as schema_status
from txbox.schema.migrations import known

_wait = click.option(
    "--wait", metavar="DURATION", type=Duration(), default="60s", show_default=True, help="How long to try."
)


@click.group()
def db() -> None:
    """The tables in PostgreSQL."""


db.add_command(adopt)


@db.command()
@settings("database")
@_wait
@output_option
def migrate(values: Values, wait: float) -> None:
    """Bring the tables up to date. Safe to run again, from many places at once, and beside writers and relays.

    Writers are held up for less than a second at a time: a migration that does not get its locks by then lets them
    pass, and tries again.
    """
    database = values.database()
    with connect(Connection, database, "db migrate") as conn:
        ran = migrate_schema(conn, database.schema, patience=wait)
    say(f"{len(ran)} migrations ran" if ran else "up to date, nothing to run")
    show([{"version": step.version, "name": step.name} for step in ran])


@db.command()
@settings("database")
@click.option(
    "--rows", type=click.IntRange(1000, 10**10), help="Seqs a partition; by default as in the last, 10 million."
)
@click.option("--apply", is_flag=True, help="Do it; otherwise it is only told.")
@_wait
@output_option
def partition(values: Values, rows: int | None, apply: bool, wait: float) -> None:
    """Make partitions of the outbox by ranges of seq, or more of them, while writers and relays go on.

    Old partitions are then dropped whole, where rows would be deleted one by one: docs/partitions.md. Tells what it
    would do, unless --apply. Safe to run again, after an error too.
    """
    database = values.database()
    with connect(Connection, database, "db partition") as conn:
        require(conn, database.schema)
        if not apply:
            _tell(conn, database.schema)
            return
        done = partition_outbox(
            conn, database.schema, rows=rows, patience=wait, told=lambda step: say(f"{step}: {step.does}")
        )
        parts = layout(conn, database.schema).parts or ()
    if not done:
        say("nothing to do: there are partitions enough")
    show([{"partition": part.name, "from": part.lower, "below": part.upper} for part in parts])


def _tell(conn: Connection, schema: str) -> None:
    """Print what partitioning would do. Raises Unpartitionable."""
    now = layout(conn, schema)
    steps = planned(now)
    if Step.WRAP in steps and (found := obstacles(conn, schema)):
        raise Unpartitionable(schema, found)
    show([{"step": str(step), "does": step.does} for step in steps])
    say("run it again with --apply" if steps else "nothing to do: there are partitions enough")


@db.command()
@settings("database")
@output_option
def status(values: Values) -> None:
    """Which migrations ran, and which are to be run (exit 3 if any)."""
    database = values.database()
    with connect(Connection, database, "db status") as conn:
        now = schema_status(conn, database.schema)
        made = None if now.pending else layout(conn, database.schema)
    ran = {step.version: step.applied_at for step in now.applied}
    show([{"version": s.version, "name": s.name, "applied_at": ran.get(s.version)} for s in known()])
    if made is not None:
        say("the outbox is one table" if made.parts is None else _described(made))
    if now.pending:
        raise Unhealthy(f"{len(now.pending)} migrations to run: txbox db migrate")


def _described(made: Layout) -> str:
    """Return a line about an outbox of partitions."""
    text = (
        f"the outbox has {len(made.parts or ())} partitions of {made.rows:,} seqs, {made.ahead} of them not yet in use"
    )
    steps = planned(made)
    return f"{text}; to be done by the relay, or txbox db partition --apply: {', '.join(steps)}" if steps else text
