"""`txbox sandbox`: a PostgreSQL and a Kafka to try things on."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from txbox.cli.output import Unhealthy, output_option, say, show_one
from txbox.sandbox import AlreadyUp, Sandbox, SandboxError, Servers, default_folder

_dir = click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path),
    envvar="TXBOX_SANDBOX_DIR",
    show_envvar=True,
    help="The sandbox's folder.  [default: one of the user's own]",
)


@click.group()
def sandbox() -> None:
    """A real PostgreSQL and a real Kafka on loopback, for development."""


@sandbox.command()
@_dir
@click.option("--postgres", type=click.Path(path_type=Path), help="Bin folder of an installed PostgreSQL.")
@click.option("--brokers", type=click.IntRange(1, 9), help="How many Kafka brokers.  [default: 1]")
@output_option
def up(folder: Path | None, postgres: Path | None, brokers: int | None) -> None:
    """Start both servers and leave them running."""
    with sandbox_errors():
        try:
            servers = Sandbox(folder or default_folder(), postgres, brokers, say).up()
        except AlreadyUp as already:
            say("already up")
            servers = already.servers
    _show(servers)
    say(f"\nexport DATABASE_URL={servers.database_url} KAFKA_BOOTSTRAP_SERVERS={servers.bootstrap_servers}")


@sandbox.command()
@_dir
def down(folder: Path | None) -> None:
    """Stop the servers and keep their data."""
    with sandbox_errors():
        Sandbox(folder or default_folder(), progress=say).down()


@sandbox.command()
@_dir
@output_option
def status(folder: Path | None) -> None:
    """Show the running servers (exit 3 if they are down)."""
    servers = Sandbox(folder or default_folder()).status()
    if servers is None:
        raise Unhealthy("the sandbox is down; start it: txbox sandbox up")
    _show(servers)


@sandbox.command()
@_dir
def reset(folder: Path | None) -> None:
    """Stop the servers and wipe their data."""
    with sandbox_errors():
        Sandbox(folder or default_folder(), progress=say).reset()


@contextmanager
def sandbox_errors() -> Iterator[None]:
    """Tell what went wrong with the servers in one line."""
    try:
        yield
    except SandboxError as error:
        raise click.ClickException(str(error)) from error


def _show(servers: Servers) -> None:
    show_one(
        {
            "database_url": servers.database_url,
            "bootstrap_servers": servers.bootstrap_servers,
            "postgres_version": servers.postgres_version,
            "kafka_version": servers.kafka_version,
            "pids": dict(servers.pids),
            "dir": str(servers.dir),
        }
    )
