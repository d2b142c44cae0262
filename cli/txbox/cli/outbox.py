"""`txbox outbox`: look at messages that were written, and at those that Kafka refused."""

import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC
from typing import Any, Final, TypeVar
from uuid import UUID

import click
from psycopg import Connection

from txbox.cli.options import Values, settings
from txbox.cli.output import NotFound, output_option, say, show_line, show_one
from txbox.cli.output import show as show_rows
from txbox.cli.settings import Duration
from txbox.daemon import connect
from txbox.outbox import report
from txbox.relay.following import Following, Seen
from txbox.relay.prune import SETTINGS
from txbox.relay.prune import prune as prune_rows
from txbox.relay.wishes import Wish, wish
from txbox.relay.wishes import listing as held_listing

F = TypeVar("F", bound=Callable[..., Any])

#: seconds between looks at what is new
_LOOK_EVERY: Final = 0.2
_COLORS: Final = {"written": None, "published": "green", "held": "yellow"}


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
    database, wanted = values.database(), _message(which)
    with connect(Connection, database, "outbox show") as conn:
        found = report.show(conn, wanted, database.schema)
    if found is None:
        raise NotFound(f"no message {which} in the outbox; it may have been pruned")
    show_one(found)


@outbox.command()
@settings("database", "relay.name")
@click.option("--key", help="Messages of this key only.")
@click.option("--topic", help="Messages of this topic, or aggregate, only.")
@click.option("--last", type=click.IntRange(1, 200), default=10, show_default=True, help="How many older ones first.")
@output_option
def tail(values: Values, key: str | None, topic: str | None, last: int) -> None:
    """Follow messages as they are written, and as they are published or held, until Ctrl-C. Never their payloads.

    Each is told when it is seen, and once more when the relay is done with it, if it was not yet. Of more than a
    thousand a second only the newest are told. With -o json, an object a line.
    """
    database = values.database()
    with connect(Connection, database, "outbox tail") as conn:
        following = Following(conn, database.schema, values.by_key["relay.name"], last=last)
        passed_over = 0
        while True:
            for row in following.look():
                if key in (None, row.key) and topic in (None, row.route):
                    show_line(asdict(row), _line(row), color=_COLORS[row.state])
            if following.passed_over > passed_over:
                say(f"... {following.passed_over - passed_over:,} more")
            passed_over = following.passed_over
            time.sleep(_LOOK_EVERY)


def _line(row: Seen) -> str:
    size = "tombstone" if row.bytes is None else f"{row.bytes:,} B"
    at = f"{row.created_at.astimezone(UTC):%H:%M:%S.%f}"[:-3]
    return f"{at}  {row.state:<9}  {row.seq:>8}  {row.id}  {row.route}  {row.key or '-'}  {row.type}  {size}"


@outbox.command()
@settings("database")
@click.option("--older-than", metavar="DURATION", type=Duration(), required=True, help="Rows younger than this stay.")
@click.option("--dry-run", is_flag=True, help="Only count them.")
@output_option
def prune(values: Values, older_than: float, dry_run: bool) -> None:
    """Delete messages that every relay has published, batch by batch; may be broken off.

    Relays do so themselves, after relay.retention.
    """
    database = values.database()
    with connect(Connection, database, "outbox prune", SETTINGS) as conn:
        count = prune_rows(conn, older_than, database.schema, dry_run=dry_run)
    show_one({"would_prune" if dry_run else "pruned": count})


@outbox.command()
@settings("database")
@click.option("--key", help="Messages of this key only.")
@click.option("--topic", help="Messages of this topic only.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many.")
@output_option
def held(values: Values, key: str | None, topic: str | None, limit: int) -> None:
    """Messages that Kafka refused, and those behind them in their keys; oldest first."""
    database = values.database()
    with connect(Connection, database, "outbox held") as conn:
        show_rows(held_listing(conn, database.schema, key=key, topic=topic, limit=limit))


def _choosing(command: F) -> F:
    """Give a command the ways to choose held messages."""
    for option in (
        click.option("--dry-run", is_flag=True, help="Only show them."),
        click.option("--error", metavar="TEXT", help="Those whose error has this text."),
        click.option("--topic", help="Those of this topic."),
        click.option("--key", help="The one that holds this key."),
        click.argument("which", metavar="[ID]", required=False),
    ):
        command = option(command)
    return output_option(command)


@outbox.command()
@settings("database", "relay.name")
@_choosing
def retry(values: Values, **chosen: Any) -> None:
    """Let the relay try held messages again (exit 4 if there is none).

    Choose by ID (or seq), --key, --topic, --error. What waits behind one in its key follows it by itself.
    """
    _wish(Wish.RETRY, values, **chosen)


@outbox.command()
@settings("database", "relay.name")
@_choosing
def skip(values: Values, **chosen: Any) -> None:
    """Never publish held messages (exit 4 if there is none). What waits behind one in its key is published then.

    Choose by ID (or seq), --key, --topic, --error: by all but ID, only messages that hold their keys.
    """
    _wish(Wish.SKIP, values, **chosen)


def _wish(what: Wish, values: Values, which: str | None, dry_run: bool, **chosen: str | None) -> None:
    """Mark held messages and show which. Raises click.UsageError if none were chosen, NotFound if none are held."""
    if which is None and not any(chosen.values()):
        raise click.UsageError("which? give an ID, --key, --topic or --error")
    database, relay = values.database(), values.by_key["relay.name"]
    message = None if which is None else _message(which)
    with connect(Connection, database, f"outbox {what}") as conn:
        found = wish(conn, what, database.schema, relay=relay, message=message, dry_run=dry_run, **chosen)
    if not found:
        raise NotFound(f"relay {relay!r} holds no such message: txbox outbox held")
    show_rows(found)
    say(f"{len(found):,} messages {'would be ' if dry_run else ''}marked: {what}")


def _message(which: str) -> UUID | int:
    """Return the id or the seq that was given."""
    try:
        return int(which) if which.isdecimal() else UUID(which)
    except ValueError as error:
        raise click.BadParameter(f"{which!r} is neither an id (a UUID) nor a seq (a number)") from error
