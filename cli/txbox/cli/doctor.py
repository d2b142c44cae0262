"""`txbox doctor`: what is wrong, why, and what mends it."""

import os
from collections.abc import Callable, Iterator
from typing import TypeVar

import click

from txbox.cli.options import State, Values, settings
from txbox.cli.output import Unhealthy, is_json, output_option, show
from txbox.cli.typos import strange_variables
from txbox.doctor import Check, Doctor, Finding, Level, NotTold, examine
from txbox.doctor.finding import fail, ok

T = TypeVar("T")


@click.command()
@settings("database", "kafka", "relay.name", "relay.topic", "relay.create_topics")
@click.option("--probe", is_flag=True, help="Send a message through the outbox, the relay that runs, and Kafka.")
@click.argument("topics", metavar="[TOPIC]...", nargs=-1)
@output_option
def doctor(values: Values, topics: tuple[str, ...], probe: bool) -> None:
    """Look at configuration, database, Kafka, relay and consumers, in order (exit 3 if something failed).

    Says of each what is wrong, why, and what mends it; more in docs/doctor.md. Looks at the topics that messages name,
    and at each TOPIC. Changes nothing; --probe makes a topic and a row of its own, and takes both away again.
    """
    state = click.get_current_context().find_object(State) or State()
    rows = []
    with Doctor(_told(values.database), _told(values.kafka), values.relay(), topics=topics) as examined:
        for name, found in examine(_checks(state, examined, probe=probe)):
            rows.append({"check": name, "state": str(found.level), "why": found.why, "mend": found.mend or None})
    show(rows if is_json() else [_cells(row) for row in rows])
    if failed := [row["check"] for row in rows if row["state"] == Level.FAIL]:
        raise Unhealthy(f"failed: {', '.join(map(str, failed))}")


def _checks(state: State, examined: Doctor, *, probe: bool) -> Iterator[Check]:
    yield Check("config", lambda: _config(state))
    yield from examined.checks(probe=probe)


def _config(state: State) -> Finding:
    """Say whether the file and the environment set only what there is."""
    problems = [*([state.broken] if state.broken else ()), *strange_variables(os.environ)]
    if problems:
        return fail("; ".join(problems), "txbox config show --origin tells what is in force")
    return ok(f"{state.path or 'no file'}, and the environment: every name is known")


def _told(where: Callable[[], T]) -> Callable[[], T]:
    """Let what a command line is told be a finding."""

    def told() -> T:
        try:
            return where()
        except click.UsageError as error:
            raise NotTold(error.message) from error

    return told


def _cells(row: dict[str, str | None]) -> dict[str, str | None]:
    """Return a row for people: the mend below the reason."""
    why = f"{row['why']}\n  mend: {row['mend']}" if row["mend"] else row["why"]
    return {"check": row["check"], "state": row["state"], "why": why}
