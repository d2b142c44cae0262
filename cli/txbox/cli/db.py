"""`txbox db`: the tables."""

import click
from psycopg import Connection

from txbox.cli.adopt import adopt
from txbox.cli.options import Values, settings
from txbox.cli.output import Unhealthy, is_json, output_option, say, show
from txbox.cli.settings import Duration
from txbox.daemon import connect
from txbox.schema import Layout, Step, Unpartitionable, layout, obstacles, planned, require
from txbox.schema import migrate as migrate_schema
from txbox.schema import partition as partition_outbox
from txbox.schema import plan as schema_plan
from txbox.schema import roles as roles_sql
from txbox.schema import sql as schema_sql
from txbox.schema import status as schema_status
from txbox.schema.migrations import known
from txbox.schema.statements import render

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
@output_option
def plan(values: Values) -> None:
    """Which migrations `db migrate` would run now; changes nothing. With -o json each has its SQL."""
    database = values.database()
    with connect(Connection, database, "db plan") as conn:
        steps = schema_plan(conn, database.schema)
    texts = [{"sql": render(step.text, database.schema).decode()} if is_json() else {} for step in steps]
    show([{"version": s.version, "name": s.name, **text} for s, text in zip(steps, texts, strict=True)])
    say(f"{len(steps)} migrations to run: txbox db migrate" if steps else "up to date, nothing to run")


@db.command()
@settings("database.schema")
@click.option("--to", metavar="VERSION", type=int, help="The version to end at.  [default: the last]")
def sql(values: Values, to: int | None) -> None:
    """The SQL of all migrations, for others to run: txbox db sql | psql.

    Those that ran already are passed over, and each is noted in the ledger, so that `db status` knows. It asks no
    database.
    """
    try:
        click.echo(schema_sql(values.by_key["database.schema"], to=to), nl=False)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


@db.command()
@settings("database")
@click.option("--apply", is_flag=True, help="Run it; otherwise it is only printed, and no database asked.")
def roles(values: Values, apply: bool) -> None:
    """The roles txbox_writer, txbox_relay, txbox_consumer and txbox_viewer, and what each may do: docs/roles.md.

    To be run by the owner of the tables, again after each migration. Who makes the roles needs CREATEROLE. Safe to run
    again, and beside services that run.
    """
    schema = values.by_key["database.schema"]
    if not apply:
        click.echo(f"BEGIN;\n\n{roles_sql(schema)}\nCOMMIT;")
        return
    with connect(Connection, values.database(), "db roles") as conn:
        require(conn, schema)
        with conn.transaction():
            conn.execute(roles_sql(schema).encode())
    say("the roles have what they need, and nothing else; make your users members: GRANT txbox_writer TO ...")


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
