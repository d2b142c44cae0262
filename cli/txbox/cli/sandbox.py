"""`txbox sandbox`: a PostgreSQL and a Kafka to try things on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from txbox.sandbox import AlreadyUp, Sandbox, SandboxError, Servers, default_folder

_dir = click.option(
    "--dir", "folder", type=click.Path(path_type=Path), envvar="TXBOX_SANDBOX_DIR", help="The sandbox's folder."
)
_output = click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", help="What goes to stdout."
)


@click.group()
def sandbox() -> None:
    """A real PostgreSQL and a real Kafka on loopback, for development."""


@sandbox.command()
@_dir
@click.option("--postgres", type=click.Path(path_type=Path), help="Bin folder of an installed PostgreSQL.")
@click.option("--brokers", type=click.IntRange(1, 9), help="How many Kafka brokers.  [default: 1]")
@_output
def up(folder: Path | None, postgres: Path | None, brokers: int | None, output: str) -> None:
    """Start both servers and leave them running."""
    with _user_errors():
        try:
            servers = Sandbox(folder or default_folder(), postgres, brokers, _say).up()
        except AlreadyUp as already:
            _say("already up")
            servers = already.servers
    _show(servers, output)


@sandbox.command()
@_dir
def down(folder: Path | None) -> None:
    """Stop the servers and keep their data."""
    with _user_errors():
        Sandbox(folder or default_folder(), progress=_say).down()


@sandbox.command()
@_dir
@_output
def status(folder: Path | None, output: str) -> None:
    """Show the running servers; exit code 1 when they are down."""
    servers = Sandbox(folder or default_folder()).status()
    if servers is None:
        raise click.ClickException("the sandbox is down; start it: txbox sandbox up")
    _show(servers, output)


@sandbox.command()
@_dir
def reset(folder: Path | None) -> None:
    """Stop the servers and wipe their data."""
    with _user_errors():
        Sandbox(folder or default_folder(), progress=_say).reset()


def _show(servers: Servers, output: str) -> None:
    if output == "json":
        click.echo(servers.to_json(), nl=False)
        return
    click.echo(f"PostgreSQL {servers.postgres_version}  {servers.database_url}")
    click.echo(f"Kafka {servers.kafka_version}  {servers.bootstrap_servers}")


def _say(text: str) -> None:
    click.echo(text, err=True)


@contextmanager
def _user_errors() -> Iterator[None]:
    try:
        yield
    except SandboxError as error:
        raise click.ClickException(str(error)) from error
