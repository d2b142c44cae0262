"""`txbox consumers`: how far they are."""

import click

from txbox.cli.options import Values, settings
from txbox.cli.output import NotFound, output_option, say, show
from txbox.consumer import report


@click.group()
def consumers() -> None:
    """How far consumers are."""


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
