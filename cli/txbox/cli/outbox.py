"""`txbox outbox`: look at messages that were written."""

from uuid import UUID

import click
from psycopg import Connection

from txbox.cli.options import Values, settings
from txbox.cli.output import NotFound, output_option, show_one
from txbox.cli.output import show as show_rows
from txbox.daemon import connect
from txbox.outbox import report


@click.group()
def outbox() -> None:
    """Messages that were written."""


@outbox.command()
@settings("database")
@output_option
def stats(values: Values) -> None:
    """How much the outbox holds."""
    database = values.database()
    with connect(Connection, database, "outbox stats") as conn:
        show_one(report.stats(conn, database.schema))


@outbox.command("list")
@settings("database")
@click.option("--key", help="Messages of this key only.")
@click.option("--topic", help="Messages of this topic, or aggregate, only.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many.")
@output_option
def list_(values: Values, key: str | None, topic: str | None, limit: int) -> None:
    """The newest messages, newest first."""
    database = values.database()
    with connect(Connection, database, "outbox list") as conn:
        show_rows(report.listing(conn, database.schema, key=key, topic=topic, limit=limit))


@outbox.command()
@settings("database")
@click.argument("which", metavar="ID")
@output_option
def show(values: Values, which: str) -> None:
    """One message, by its id or its seq (exit 4 if it is not there)."""
    database = values.database()
    try:
        wanted = int(which) if which.isdecimal() else UUID(which)
    except ValueError as error:
        raise click.BadParameter(f"{which!r} is neither an id (a UUID) nor a seq (a number)") from error
    with connect(Connection, database, "outbox show") as conn:
        found = report.show(conn, wanted, database.schema)
    if found is None:
        raise NotFound(f"no message {which} in the outbox; it may have been pruned")
    show_one(found)
