"""`txbox relay`: the daemon that publishes."""

import click
from psycopg import Connection

from txbox.cli.daemons import run_daemon
from txbox.cli.options import Values, settings
from txbox.cli.output import Unhealthy, output_option, show
from txbox.daemon import Stop, connect
from txbox.relay import Relay
from txbox.relay.report import status as relay_status


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


@relay.command()
@settings("database")
@output_option
def status(values: Values) -> None:
    """Who leads, how far it is, and what waits (exit 3 if something waits and nobody leads)."""
    database = values.database()
    with connect(Connection, database, "relay status") as conn:
        relays = relay_status(conn, database.schema)
    show(relays)
    orphans = [record["name"] for record in relays if record["pending"] and not record["leading"]]
    if orphans:
        raise Unhealthy(f"messages wait and nobody leads relay {', '.join(orphans)}: txbox relay run")
    if not relays:
        raise Unhealthy("no relay has ever run here: txbox relay run")
