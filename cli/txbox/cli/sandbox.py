"""`txbox sandbox`: a PostgreSQL and a Kafka to try things on."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from txbox.cli.output import Unhealthy, output_option, say, show_one
from txbox.sandbox import AlreadyUp, Containers, Sandbox, SandboxError, Servers, default_folder

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
@click.option(
    "--with",
    "kind",
    type=click.Choice(["wheels", "docker"]),
    envvar="TXBOX_SANDBOX",
    show_envvar=True,
    help="Processes of this machine, or containers.  [default: what the folder has; wheels]",
)
@output_option
def up(folder: Path | None, postgres: Path | None, brokers: int | None, kind: str | None) -> None:
    """Start both servers and leave them running."""
    folder = folder or default_folder()
    in_docker = kind == "docker" or (kind is None and Containers.kept_in(folder))
    if in_docker and (postgres or brokers):
        raise click.UsageError("--postgres and --brokers are for servers without Docker")
    with sandbox_errors():
        try:
            servers = Containers(folder, say).up() if in_docker else Sandbox(folder, postgres, brokers, say).up()
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
        _sandbox(folder).down()


@sandbox.command()
@_dir
@output_option
def status(folder: Path | None) -> None:
    """Show the running servers (exit 3 if they are down)."""
    with sandbox_errors():
        servers = _sandbox(folder).status()
    if servers is None:
        raise Unhealthy("the sandbox is down; start it: txbox sandbox up")
    _show(servers)


@sandbox.command()
@_dir
def reset(folder: Path | None) -> None:
    """Stop the servers and wipe their data."""
    with sandbox_errors():
        _sandbox(folder).reset()


def _sandbox(folder: Path | None) -> Sandbox | Containers:
    """Return what the folder has."""
    folder = folder or default_folder()
    return Containers(folder, say) if Containers.kept_in(folder) else Sandbox(folder, progress=say)


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
