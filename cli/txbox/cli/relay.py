"""`txbox relay`: the daemon that publishes."""

from contextlib import closing
from datetime import timedelta
from typing import Any, Final

import click
from psycopg import Connection

from txbox.cli.daemons import run_daemon
from txbox.cli.options import Values, settings
from txbox.cli.output import NotFound, Unhealthy, duration, is_json, output_option, say, show
from txbox.daemon import Stop, connect
from txbox.relay import Relay
from txbox.relay.ledger import Ledger
from txbox.relay.report import status as relay_status

#: seconds between the two looks that tell a rate
_RATE_OVER: Final = 0.5


@click.group()
def relay() -> None:
    """The daemon that publishes committed messages to Kafka."""


@relay.command()
@settings("database", "kafka", "relay", "http", "log", http__port="9464")
@click.option("--once", is_flag=True, help="Publish what is there now, and end; exit 1 if another relay leads.")
def run(values: Values, once: bool) -> None:
    """Publish until stopped. SIGTERM waits for the acks of what is under way, a second one does not.

    Any number may run: one leads, the others stand by.
    """
    stop = Stop()
    run_daemon(values, stop, Relay(values.database(), values.kafka(), values.relay(), stop=stop), once=once)


@relay.command("accept-cluster")
@settings("database", "relay.name")
@click.option("--from-start", is_flag=True, help="Publish every row that the outbox holds, again.")
def accept_cluster(values: Values, from_start: bool) -> None:
    """Let the relay's cursor belong to this database, after it was copied or restored (exit 4 if there is no cursor).

    It goes on where it stands. Exit 1 if a relay leads.
    """
    with closing(Ledger.open(values.database(), values.by_key["relay.name"], {})) as ledger:
        ledger.require_schema()
        if not ledger.accept(ledger.facts(), from_start=from_start):
            raise NotFound(f"no relay {values.by_key['relay.name']!r} has ever led here: nothing to accept")
    say("accepted: start the relay")


@relay.command()
@settings("database")
@output_option
def status(values: Values) -> None:
    """Who leads and stands by, how far it is, what waits and is held (exit 3 if something waits and nobody leads).

    Takes half a second: `per_second` is how far the cursor moves in it.
    """
    database = values.database()
    with connect(Connection, database, "relay status") as conn:
        relays = relay_status(conn, database.schema, over=_RATE_OVER)
    show([_at_a_glance(record) for record in relays] if not is_json() else relays)
    for record in relays:
        if record["leading"] and not record["standbys"]:
            say(f"nobody stands by for {record['name']}: a second txbox relay run takes over when this one dies")
        if record["held"]:
            say(f"{record['held']:,} messages are held, they wait for you: txbox outbox held")
    orphans = [record["name"] for record in relays if record["pending"] and not record["leading"]]
    if orphans:
        raise Unhealthy(f"messages wait and nobody leads relay {', '.join(orphans)}: txbox relay run")
    if not relays:
        raise Unhealthy("no relay has ever run here: txbox relay run")


def _at_a_glance(record: dict[str, Any]) -> dict[str, Any]:
    """Return what a line of 80 characters has room for."""
    oldest = record["oldest_pending_seconds"]
    return {
        "relay": record["name"],
        "leader": record["leader"] if record["leading"] else "nobody",
        "standbys": record["standbys"],
        "tail": record["tail"],
        "per_second": record["per_second"],
        "pending": record["pending"],
        "oldest": None if oldest is None else timedelta(seconds=oldest),
        "gaps": record["gaps"],
        "held": record["held"],
        "moved": f"{duration(record['saved_seconds_ago'])} ago",
    }
