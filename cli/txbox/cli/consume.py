"""`txbox consume`: run a consumer."""

import importlib
import sys
from pathlib import Path

import click

from txbox.cli.daemons import run_daemon
from txbox.cli.options import Values, settings
from txbox.consumer import Consumer, Runner
from txbox.daemon import Stop


@click.command()
@settings("database", "kafka", "consumer", "http", "log", http__port="9465")
@click.option("--once", is_flag=True, help="Handle what is there now, and end.")
@click.argument("app", metavar="MODULE:APP")
def consume(values: Values, once: bool, app: str) -> None:
    """Run the consumer APP of MODULE until stopped. SIGTERM ends it after the batch under way.

    A second one, or --drain-timeout, interrupts its handler: the batch is rolled back and comes again. Any number may
    run: Kafka shares the partitions out.
    """
    consumer, config, stop = load(app), values.consumer(), Stop()
    runner = Runner(consumer, values.database(), values.kafka(), config, stop=stop)
    run_daemon(values, stop, runner, once=once, interrupt_after=config.drain_timeout)


def load(app: str) -> Consumer:
    """Return the consumer that `module:name` names; modules of the current folder count. Raises click.BadParameter."""
    module_name, _, name = app.partition(":")
    if not module_name or not name:
        raise click.BadParameter(f"{app!r}: write module:name, e.g. shop.billing:consumer")
    sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module is there, something that it imports is not
        raise click.BadParameter(f"no module {error.name!r} here ({Path.cwd()}) or installed") from error
    found = getattr(module, name, None)
    if not isinstance(found, Consumer):
        theirs = [key for key, value in vars(module).items() if isinstance(value, Consumer)]
        hint = f"; it has {', '.join(theirs)}" if theirs else ""
        raise click.BadParameter(f"{module_name} has no txbox.consumer.Consumer called {name!r}{hint}")
    return found
