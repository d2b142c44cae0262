"""Data on stdout, talk on stderr: as tables for people, as JSON for programs."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click
import orjson
from rich.console import Console
from rich.table import Table

from txbox.cli.options import State

__all__ = [
    "NotFound",
    "Unhealthy",
    "duration",
    "is_json",
    "output_option",
    "say",
    "show",
    "show_all",
    "show_line",
    "show_one",
]

F = TypeVar("F", bound=Callable[..., Any])


class NotFound(click.ClickException):
    """What was asked for is not there."""

    exit_code = 4


class Unhealthy(click.ClickException):
    """The command worked; what it looked at is not well."""

    exit_code = 3


def output_option(command: F) -> F:
    """Let a command that prints data take -o itself, as well as before it."""

    def note(ctx: click.Context, _parameter: click.Parameter, value: str | None) -> None:
        if value is not None:
            ctx.ensure_object(State).output = value

    choice = click.Choice(["table", "json"])
    return click.option("-o", "--output", type=choice, expose_value=False, callback=note, help="How to print data.")(
        command
    )


def is_json() -> bool:
    """Return whether data goes to a program."""
    state = click.get_current_context().find_object(State)
    return state is not None and state.output == "json"


def say(text: str) -> None:
    """Tell people something: on stderr, and not with -q."""
    state = click.get_current_context().find_object(State)
    if state is None or state.verbosity >= 0:
        click.echo(text, err=True)


def show(rows: Sequence[Mapping[str, Any]], *, columns: Iterable[str] = ()) -> None:
    """Print records: a table, or a JSON array."""
    state = click.get_current_context().find_object(State) or State()
    if state.output == "json":
        click.echo(_json(rows))
        return
    if not rows and not columns:
        return
    names = list(columns) or list(rows[0] if rows else ())
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in names:
        numeric = bool(rows) and isinstance(rows[0].get(name), int | float)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row.get(name)) for name in names))
    _console(state).print(table)


def show_all(tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Print several kinds of records: a table each, or one JSON object of arrays by name."""
    state = click.get_current_context().find_object(State) or State()
    if state.output == "json":
        click.echo(_json(tables))
        return
    for n, (name, rows) in enumerate((name, rows) for name, rows in tables.items() if rows):
        click.echo(f"\n{name}" if n else name)
        show(rows)


def show_line(record: Mapping[str, Any], line: str, *, color: str | None = None) -> None:
    """Print one of many records as it comes: `line`, or a JSON object on a line. Piped or not, it is there at once."""
    state = click.get_current_context().find_object(State) or State()
    if state.output == "json":
        click.echo(orjson.dumps(record, default=str))
    else:
        click.echo(click.style(_plain(line), fg=color if state.color else None))


def show_one(record: Mapping[str, Any]) -> None:
    """Print one record: a line a field, or a JSON object."""
    state = click.get_current_context().find_object(State) or State()
    if state.output == "json":
        click.echo(_json(record))
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in record.items():
        table.add_row(name, _cell(value))
    _console(state).print(table)


def _console(state: State) -> Console:
    """Return where tables go; without a terminal they are as wide as they need to be."""
    console = Console(no_color=not state.color, highlight=False, markup=False)
    return console if console.is_terminal else Console(no_color=True, highlight=False, markup=False, width=240)


def _json(data: object) -> str:
    return orjson.dumps(data, default=str, option=orjson.OPT_INDENT_2).decode()


def _cell(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:,.1f}"
        case int():
            return f"{value:,}"
        case timedelta():
            return duration(value.total_seconds())
        case datetime():
            return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"
        case _:
            return _plain(str(value))


def duration(seconds: float) -> str:
    """Return how long that is, in two units at most."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, of_hour = divmod(minutes, 60)
    days, of_day = divmod(hours, 24)
    if days:
        return f"{days} d {of_day} h"
    return f"{hours} h {of_hour} min" if hours else f"{minutes} min {rest} s"


def _plain(text: str) -> str:
    """Return text that cannot steer a terminal: keys, types and payloads are whatever some producer put there."""
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)
