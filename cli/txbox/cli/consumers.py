"""`txbox consumers`: how far they are."""

import click
from psycopg import Connection

from txbox.cli.options import Values, settings
from txbox.cli.output import NotFound, output_option, say, show, show_all
from txbox.consumer import report
from txbox.daemon import connect

#: keys that dead messages block, the longest blocked first
_BLOCKED = 100


@click.group()
def consumers() -> None:
    """How far consumers are."""


@consumers.command("list")
@settings("database")
@output_option
def list_(values: Values) -> None:
    """What each consumer holds, and the keys that its dead messages block (100 at most).

    Behind a dead message, all that came later for its key waits until somebody acts: txbox held retry, or discard.
    """
    database = values.database()
    with connect(Connection, database, "consumers list") as conn:
        standing = report.standing(conn, database.schema)
        blocked = report.blocked(conn, database.schema, limit=_BLOCKED)
    show_all({"consumers": standing, "blocked": blocked})
    if blocked:
        say("what is blocked, and what to do: txbox held list --state dead")


@consumers.command()
@settings("kafka")
@click.argument("name")
@output_option
def lag(values: Values, name: str) -> None:
    """How far the consumer NAME is behind the end of each partition (exit 4 if it never committed an offset)."""
    lags = report.lag(values.kafka(), name)
    if not lags:
        raise NotFound(f"consumer {name!r} has no committed offsets: it has not handled anything yet")
    show(lags)
    say(f"{sum(record['lag'] for record in lags):,} messages behind")
