"""`txbox held`: messages that were taken and have not had their effect, and what people do about them."""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, Final, TypeVar
from uuid import UUID

import click
import orjson
from psycopg import Connection

from txbox.cli.options import Values, settings
from txbox.cli.output import NotFound, is_json, output_option, say, show_one
from txbox.cli.output import show as show_rows
from txbox.cli.settings import Duration
from txbox.consumer import choosing
from txbox.consumer.choosing import Choice, State
from txbox.consumer.editing import edit as edit_message
from txbox.consumer.errors import NotHeld
from txbox.consumer.mending import SETTINGS, Outcome, Told
from txbox.consumer.mending import discard as discard_messages
from txbox.consumer.mending import retry as retry_messages
from txbox.consumer.policy import Reason
from txbox.daemon import connect
from txbox.outbox.envelope import unstorable

F = TypeVar("F", bound=Callable[..., Any])
#: retry or discard
Change = Callable[..., Iterator[list[Told]]]

#: rows of a table that people read; JSON has them all
_READ: Final = 100
#: what a table has of a message; JSON has more
_COLUMNS: Final = ("consumer", "id", "state", "reason", "behind", "attempts", "due_at", "topic", "key", "type", "error")
#: messages a transaction, at most
_BATCH: Final = 100
#: batches a second, with a rate: so that many come evenly
_STEPS: Final = 10


class Rate(click.ParamType[float]):
    """Messages a second, as a float."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        match = re.fullmatch(r"(\d+(?:\.\d+)?)/(s|m)", str(value).strip())
        if not match or not float(match[1]):
            self.fail(f"{value!r} is no rate: write 10/s, or 30/m", param, ctx)
        return float(match[1]) / {"s": 1, "m": 60}[match[2]]


@click.group()
def held() -> None:
    """Messages that a consumer took and could not handle: docs/held.md."""


def _choosing(command: F) -> F:
    """Give a command the ways to choose held messages, as its argument `choice`."""

    def chosen(*args: Any, ids: tuple[UUID, ...] = (), state: str | None, **rest: Any) -> Any:
        given = {name: rest.pop(name) for name in ("consumer", "topic", "key", "type", "reason", "error")}
        ages = {name: rest.pop(name) for name in ("older_than", "newer_than")}
        for name, text in given.items():
            if name != "key" and unstorable(text or "-"):
                raise click.BadParameter(f"{text!r} is no text", param_hint=f"--{name}")
        choice = Choice(ids=ids or None, state=State(state) if state else None, **given, **ages)
        return command(*args, choice=choice, **rest)

    chosen.__name__, chosen.__doc__ = command.__name__, command.__doc__
    chosen.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
    age = Duration()
    for option in (
        click.option("--newer-than", metavar="DURATION", type=age, help="Those held for less than this."),
        click.option("--older-than", metavar="DURATION", type=age, help="Those held for longer than this."),
        click.option("--error", metavar="TEXT", help="Those whose error has this text."),
        click.option("--reason", type=click.Choice([str(reason) for reason in Reason]), help="Those held for this."),
        click.option("--type", help="Those of this type."),
        click.option("--key", help="Those of this key, as it is listed."),
        click.option("--topic", help="Those of this topic."),
        click.option("--state", type=click.Choice([str(state) for state in State]), help="Those in this state."),
        click.option("--consumer", metavar="NAME", help="Those of this consumer."),
    ):
        option(chosen)
    return chosen  # type: ignore[return-value]


def _changing(command: F) -> F:
    """Give a command that changes many what makes it careful."""
    for option in (
        click.option("--rate", metavar="N/s", type=Rate(), help="No more than so many a second, e.g. 10/s."),
        click.option("--dry-run", is_flag=True, help="Only say what would become of each."),
        click.argument("ids", metavar="[ID]...", nargs=-1, type=click.UUID),
    ):
        option(command)
    return command


@held.command("list")
@settings("database")
@_choosing
@click.option("--limit", type=click.IntRange(1, 100_000), default=20, show_default=True, help="How many.")
@output_option
def list_(values: Values, choice: Choice, limit: int) -> None:
    """Held messages, each consumer's oldest first; never their payloads.

    In a key, bytes that are no text are listed as \\xNN. `behind`: messages that wait for this one, counted to 1,000.
    """
    database = values.database()
    with connect(Connection, database, "held list") as conn:
        rows = choosing.listing(conn, choice, database.schema, limit=limit)
    show_rows(rows, columns=() if is_json() or not rows else _COLUMNS)


@held.command()
@settings("database")
@click.argument("message", metavar="ID", type=click.UUID)
@click.option("--consumer", metavar="NAME", help="If several hold it: whose.")
@click.option("--payload", is_flag=True, help="The payload too, as text, or base64 if it is none.")
@output_option
def show(values: Values, message: UUID, consumer: str | None, payload: bool) -> None:
    """All about one held message; its payload only if asked (exit 4 if it is not held)."""
    database = values.database()
    with connect(Connection, database, "held show") as conn, _told():
        show_one(choosing.show(conn, message, database.schema, consumer=consumer, payload=payload))


@held.command()
@settings("database")
@_choosing
@_changing
@output_option
def retry(values: Values, choice: Choice, dry_run: bool, rate: float | None) -> None:
    """Try held messages again at once, from attempt 0 (exit 4 if there is none).

    Dead ones, and those that wait for their next attempt. What waits behind one in its key follows by itself when that
    was handled. Ids stay: nothing has its effect twice, however often this is pressed. May be broken off.
    """
    _mend(values, choice, dry_run, rate, retry_messages, "due now")


@held.command()
@settings("database")
@_choosing
@_changing
@output_option
def discard(values: Values, choice: Choice, dry_run: bool, rate: float | None) -> None:
    """Give held messages up, for good (exit 4 if there is none): export them first.

    By ID, whatever they wait for; by anything else only dead ones, unless --state waiting. What waits behind one in its
    key is handled then. May be broken off.
    """
    _mend(values, choice, dry_run, rate, discard_messages, "discarded")


@held.command()
@settings("database")
@click.argument("message", metavar="ID", type=click.UUID)
@click.option("--consumer", metavar="NAME", help="If several hold it: whose.")
@click.option("--payload-file", metavar="FILE", type=click.File("rb"), help="The new payload; - for stdin.")
@click.option("--header", "headers", metavar="NAME=VALUE", multiple=True, help="In the place of all of its name.")
@click.option("--dry-run", is_flag=True, help="Only say whether it would do.")
@output_option
def edit(
    values: Values,
    message: UUID,
    consumer: str | None,
    payload_file: BinaryIO | None,
    headers: tuple[str, ...],
    dry_run: bool,
) -> None:
    """Give a held message another payload, or other headers (exit 4 if it is not held).

    It must be readable by its content-type. Id, key and topic stay; a dead message stays dead until it is retried.
    """
    if payload_file is None and not headers:
        raise click.UsageError("what? give --payload-file or --header")
    pairs = dict(_header(text) for text in headers)
    payload = None if payload_file is None else payload_file.read()
    database = values.database()
    with connect(Connection, database, "held edit", SETTINGS) as conn, _told():
        edited = edit_message(
            conn, message, database.schema, consumer=consumer, payload=payload, headers=pairs, dry_run=dry_run
        )
    show_one({"id": edited.id, "consumer": edited.consumer, "before": edited.before, "after": edited.after})
    done = "it would do" if dry_run else f"edited; to have it tried now: txbox held retry {message}"
    say(done if edited.changed else "it is so already: nothing to do")


@held.command()
@settings("database")
@_choosing
@click.argument("ids", metavar="[ID]...", nargs=-1, type=click.UUID)
def export(values: Values, choice: Choice) -> None:
    """Write held messages to stdout with all they have, as JSON lines; nothing is changed.

    Bytes are base64: key_base64, payload_base64, and headers_base64 (pairs of a name and a value, or null).
    """
    database, count = values.database(), 0
    with connect(Connection, database, "held export") as conn:
        for message in choosing.export(conn, choice, database.schema):
            click.echo(orjson.dumps(message, default=str))
            count += 1
    say(f"{count:,} messages")


@contextmanager
def _told() -> Iterator[None]:
    """Turn what is not there into exit code 4."""
    try:
        yield
    except NotHeld as error:
        raise NotFound(str(error)) from error


def _header(text: str) -> tuple[str, str]:
    """Return a header's name and value."""
    name, given, value = text.partition("=")
    if not given or not name:
        raise click.BadParameter(f"{text!r} is no NAME=VALUE", param_hint="--header")
    return name, value


def _mend(values: Values, choice: Choice, dry_run: bool, rate: float | None, change: Change, done: str) -> None:
    """Change those that were chosen, and say what became of each; what was done before it is broken off, too."""
    if choice == Choice():
        raise click.UsageError("which? give an ID, or --consumer, --state, --topic, --key, --type, --reason, --error")
    most = _BATCH if rate is None else max(1, min(_BATCH, round(rate / _STEPS)))
    database, began = values.database(), time.monotonic()
    counts: Counter[Outcome] = Counter()
    told: list[Told] = []
    try:
        with connect(Connection, database, "held", SETTINGS) as conn:
            for batch in change(conn, choice, database.schema, most=most, dry_run=dry_run):
                counts.update(one.outcome for one in batch)
                told += batch if is_json() else batch[: _READ - len(told)]
                if rate and not dry_run:
                    time.sleep(pause(counts[Outcome.DONE], rate, time.monotonic() - began))
    finally:
        _report(told, counts, f"would be {done}" if dry_run else done)
    if not told:
        raise NotFound("no such message is held: txbox held list")
    if counts[Outcome.FOLLOWS] == counts.total():
        raise click.ClickException(
            f"message {told[0].id} follows another in its key, retry that one: {told[0].row['head']}"
        )
    if left := counts[Outcome.BUSY]:
        raise click.ClickException(f"{left:,} messages are being tried just now, and were left: try again")


def pause(changed: int, rate: float, elapsed: float) -> float:
    """Return the seconds to wait until the next one is due."""
    return max(0.0, changed / rate - elapsed)


def _report(told: Sequence[Told], counts: Counter[Outcome], done: str) -> None:
    """Print what became of messages, and of how many."""
    words = {outcome: str(outcome) for outcome in Outcome} | {Outcome.DONE: done}
    rows = [{"consumer": one.consumer, "id": one.id, "outcome": words[one.outcome], **one.row} for one in told]
    if rows or is_json():
        show_rows(rows, columns=() if is_json() else ("consumer", "id", "outcome", *_COLUMNS[2:]))
    if more := counts.total() - len(rows):
        say(f"and {more:,} more: -o json has them all")
    say("; ".join(f"{count:,} {words[outcome]}" for outcome, count in counts.items()) or "nothing was changed")
