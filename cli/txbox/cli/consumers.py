"""`txbox consumers`: how far they are."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import timedelta
from typing import Any, Final

import click
from confluent_kafka import KafkaException
from psycopg import Connection

from txbox.cli.options import Values, settings
from txbox.cli.output import NotFound, is_json, output_option, say, show, show_all
from txbox.consumer import report
from txbox.daemon import connect
from txbox.daemon.kafka import told

#: seconds between the two looks that tell a rate
_RATE_OVER: Final = 0.5

#: keys that dead messages block, the longest blocked first
_BLOCKED = 100


@click.group()
def consumers() -> None:
    """How far consumers are."""


@consumers.command("list")
@settings("database", "kafka")
@output_option
def list_(values: Values) -> None:
    """How each consumer stands, what it holds, and the keys that its dead messages block (100 at most).

    Members, lag and rate are Kafka's to say: they are left out if it is not named, or does not answer in seconds.

    Behind a dead message, all that came later for its key waits until somebody acts: txbox held retry, or discard.
    """
    database = values.database()
    with connect(Connection, database, "consumers list") as conn:
        standing = report.standing(conn, database.schema)
        blocked = report.blocked(conn, database.schema, limit=_BLOCKED)
    known = _groups(values, [record["consumer"] for record in standing])
    unknown = {field.name: None for field in fields(report.Group)}
    records = [
        {**record, **(asdict(known[record["consumer"]]) if record["consumer"] in known else unknown)}
        for record in standing
    ]
    shown = records if is_json() else [_at_a_glance(record) for record in records]
    show_all({"consumers": shown, "blocked": blocked})
    for name in (name for name, group in known.items() if not group.members):
        say(f"no process of {name} runs: txbox consume MODULE:APP")
    if blocked:
        say("what is blocked, and what to do: txbox held list --state dead")


def _groups(values: Values, names: Sequence[str]) -> dict[str, report.Group]:
    """Return what Kafka knows of these consumers; nothing if it cannot be asked, and then say so."""
    if not values.by_key["kafka.bootstrap_servers"]:
        say("kafka.bootstrap_servers is not set: members and lag are unknown")
        return {}
    try:
        return report.groups(values.kafka(), names, over=_RATE_OVER)
    except (KafkaException, TimeoutError) as error:
        say(f"Kafka: {told(error)}: members and lag are unknown")
        return {}


def _at_a_glance(record: dict[str, Any]) -> dict[str, Any]:
    """Return what a line of 100 characters has room for."""
    oldest = record["oldest_seconds"]
    return {
        "consumer": record["consumer"],
        "members": record["members"],
        "lag": record["lag"],
        "per_second": record["per_second"],
        "waiting": record["waiting"],
        "dead": record["dead"],
        "blocked_keys": record["blocked_keys"],
        "oldest_held": None if oldest is None else timedelta(seconds=oldest),
    }


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
