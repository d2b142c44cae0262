"""`txbox inbox`: look at messages that were taken."""

from uuid import UUID

import click
from psycopg import Connection

from txbox.cli.options import Values, settings
from txbox.cli.output import NotFound, output_option, show_one
from txbox.cli.output import show as show_rows
from txbox.cli.settings import Duration
from txbox.consumer import report
from txbox.consumer.prune import prune as prune_ids
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


@inbox.command()
@settings("database")
@click.option("--older-than", metavar="DURATION", type=Duration(), required=True, help="Ids younger than this stay.")
@click.option("--consumer", metavar="NAME", help="Of this consumer only.")
@click.option("--dry-run", is_flag=True, help="Only count them.")
@output_option
def prune(values: Values, older_than: float, consumer: str | None, dry_run: bool) -> None:
    """Delete old ids, batch by batch; may be broken off. A copy of such a message would have its effect again.

    So never choose less than the topics keep their messages. Ids of messages that are held stay.
    """
    database = values.database()
    with connect(Connection, database, "inbox prune") as conn:
        count = prune_ids(conn, older_than, database.schema, consumer=consumer, dry_run=dry_run)
    show_one({"would_prune" if dry_run else "pruned": count})
