"""`txbox demo`: see it work, and see it killed."""

import click

from txbox.cli.sandbox import sandbox_errors
from txbox.demo import crash_recovery as crash_recovery_demo
from txbox.demo import duplicates as duplicates_demo


@click.group()
def demo() -> None:
    """See it work, and see it killed; on a PostgreSQL and a Kafka of its own."""


@demo.command("crash-recovery")
@click.option("--kills", type=click.IntRange(0, 1000), default=14, show_default=True, help="How many kill -9.")
@click.option(
    "--seconds", type=click.FloatRange(5), default=40.0, show_default=True, help="How long orders are placed."
)
@click.option("--seed", type=int, help="Kill at the same places again.  [default: a new one]")
@click.option("--no-dedupe", is_flag=True, help="With a billing service that has no inbox: ends with double effects.")
@click.pass_context
def crash_recovery(ctx: click.Context, kills: int, seconds: float, seed: int | None, no_dedupe: bool) -> None:
    """Kill relay and consumer while orders are placed; count what was lost (exit 1 if anything was)."""
    with sandbox_errors():
        good = crash_recovery_demo.run(kills=kills, seconds=seconds, seed=seed, dedupe=not no_dedupe)
    ctx.exit(0 if good else 1)


@demo.command()
@click.pass_context
def duplicates(ctx: click.Context) -> None:
    """Send one message ten times; there is one charge (exit 1 if there are more)."""
    with sandbox_errors():
        good = duplicates_demo.run()
    ctx.exit(0 if good else 1)
