"""`txbox inbox`: look at messages that were taken."""

from uuid import UUID

import click
from psycopg import Connection

from txbox.cli.options import Values, settings
from txbox.cli.output import NotFound, output_option
from txbox.cli.output import show as show_rows
from txbox.consumer import report
from txbox.daemon import connect


@click.group()
def inbox() -> None:
    """Messages that consumers took."""


@inbox.command()
@settings("database")
@output_option
def stats(values: Values) -> None:
    """How much each consumer has processed, and what is waiting or dead."""
    database = values.database()
    with connect(Connection, database, "inbox stats") as conn:
        columns = ("consumer", "processed", "newest", "waiting", "dead")
        show_rows(report.stats(conn, database.schema), columns=columns)


@inbox.command()
@settings("database")
@click.argument("message_id", metavar="ID", type=click.UUID)
@output_option
def show(values: Values, message_id: UUID) -> None:
    """What each consumer knows of one message (exit 4 if none took it)."""
    database = values.database()
    with connect(Connection, database, "inbox show") as conn:
        found = report.show(conn, message_id, database.schema)
    if not found:
        raise NotFound(f"no consumer took message {message_id} here")
    show_rows(found)
