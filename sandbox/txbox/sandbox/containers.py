"""The sandbox's servers in Docker: the images that people run elsewhere, with the sandbox's settings, on loopback."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import psycopg

from txbox.sandbox.broker import properties
from txbox.sandbox.errors import AlreadyUp, ContainerFailed, NoDocker, NotUp
from txbox.sandbox.jars import KAFKA_VERSION
from txbox.sandbox.postgres import SETTINGS
from txbox.sandbox.processes import Identity, eventually, write_atomically
from txbox.sandbox.sandbox import Sandbox
from txbox.sandbox.servers import Servers, free_ports
from txbox.sandbox.warm_up import warm_up

POSTGRES_IMAGE: Final = "postgres:18"
KAFKA_IMAGE: Final = f"apache/kafka:{KAFKA_VERSION}"

#: whose containers they are: a folder's, or a process's that will be gone one day
_LABEL: Final = "txbox.sandbox"
_OWNER: Final = "txbox.sandbox.owner"
_SERVER: Final = "txbox.sandbox.server"
#: what a folder has whose servers are in Docker
_MARK: Final = "containers.json"

_START_LIMIT: Final = 60
_STOP_LIMIT: Final = 30


class Containers:
    """One PostgreSQL and one Kafka, a container each; what `Sandbox` is for processes.

    All that is to be known of them stands in the containers' labels, so that `up` and `down` may be called by different
    processes. Without a folder they belong to this process: they go with the block, and if it is killed, the next one
    that starts some clears them away. The engine must be this machine's.

    Args:
        dir: the folder under whose name they are kept by `down`, with their data, and found again.
        progress: told, in a few words, what takes long.
    """

    def __init__(self, dir: Path | None = None, progress: Callable[[str], None] | None = None) -> None:  # noqa: A002
        self.dir = dir.absolute() if dir else None
        self._name = str(self.dir or f"temporary-{uuid4().hex[:12]}")
        self._progress = progress or (lambda _: None)

    @staticmethod
    def kept_in(folder: Path) -> bool:
        """Whether this folder's servers are in Docker."""
        return (folder / _MARK).exists()

    def __enter__(self) -> Servers:
        return self.up()

    def __exit__(self, *failure: object) -> None:
        self.down()

    def up(self) -> Servers:
        """Make both containers, or start those that `down` has stopped; return when they serve.

        Raises:
            AlreadyUp: they run already.
            NoDocker: there is no engine, or testcontainers is not installed.
            ContainerFailed: one cannot be started, or does not serve.
        """
        with _engine() as engine:
            _clear_away(engine)
            if running := self._status(engine):
                raise AlreadyUp(running)
            try:
                self._start(engine)
            except BaseException:  # Ctrl-C too
                self._stop(engine)
                raise
            if self.dir:
                self.dir.mkdir(parents=True, exist_ok=True)
                write_atomically(self.dir / _MARK, json.dumps({"with": "docker"}) + "\n")
            return self._servers(self._containers(engine))

    def down(self) -> None:
        """Stop what runs; a folder's containers stay, with their data."""
        with _engine() as engine:
            self._stop(engine)

    def status(self) -> Servers | None:
        """The servers if both run, else None."""
        with _engine() as engine:
            return self._status(engine)

    def reset(self) -> None:
        """Remove the containers and their data."""
        with _engine() as engine:
            for container in self._containers(engine).values():
                container.remove(force=True, v=True)
        if self.dir:
            (self.dir / _MARK).unlink(missing_ok=True)

    def _start(self, engine: Any) -> None:
        made = self._containers(engine)
        makers = {"postgres": self._make_postgres, "kafka": self._make_kafka}
        for server, make in makers.items():
            if server in made:
                made[server].start()
            else:
                make(free_ports(1)[0])
        made = self._containers(engine)
        servers = self._servers(made)
        if not eventually(lambda: _answers(servers.database_url), _START_LIMIT):
            raise ContainerFailed(POSTGRES_IMAGE, "it does not answer", _log(made["postgres"]))
        # Docker listens on the port from the beginning, Kafka behind it only later: that it listens says nothing.
        if not eventually(lambda: warm_up(servers.bootstrap_servers, 1), _START_LIMIT):
            raise ContainerFailed(KAFKA_IMAGE, "it serves no topic", _log(made["kafka"]))

    def _make_postgres(self, port: int) -> None:
        command = ["postgres"]
        for name, value in _parsed(SETTINGS.format(port=port, fsync="on")).items():
            if name not in ("port", "listen_addresses", "unix_socket_directories"):  # the image's own are right
                command += ["-c", f"{name}={value}"]
        # loopback only, and nothing of value
        env = {"POSTGRES_HOST_AUTH_METHOD": "trust", "POSTGRES_INITDB_ARGS": "--encoding=UTF8 --locale=C"}
        self._make("postgres", POSTGRES_IMAGE, env, (5432, port), command)

    def _make_kafka(self, port: int) -> None:
        settings = _parsed(properties(0, port, {0: "127.0.0.1:9093"}, Path("/var/lib/kafka/data")))
        # The port is the same inside and outside, so that one address is right for clients on this machine.
        settings["advertised.listeners"] = f"BROKER://127.0.0.1:{port}"
        settings["listeners"] = f"BROKER://0.0.0.0:{port},CONTROLLER://127.0.0.1:9093"
        env = {f"KAFKA_{name.upper().replace('.', '_')}": value for name, value in settings.items()}
        self._make("kafka", KAFKA_IMAGE, {**env, "KAFKA_HEAP_OPTS": "-Xms256m -Xmx512m"}, (port, port))

    def _make(
        self, server: str, image: str, env: dict[str, str], ports: tuple[int, int], command: list[str] | None = None
    ) -> None:
        from testcontainers.core.config import testcontainers_config
        from testcontainers.core.container import DockerContainer

        # Its own clearing away would end what `up` is to leave running, and needs an image of its own.
        testcontainers_config.ryuk_disabled = True
        labels = {_LABEL: self._name, _SERVER: server}
        if self.dir is None:
            labels[_OWNER] = json.dumps(asdict(Identity.of(os.getpid())))
        self._progress(f"{image} as {server}, pulled if it is not here")
        container = DockerContainer(image, env=env).with_kwargs(labels=labels)
        if command:
            container.with_command(command)
        inside, outside = ports
        container.ports[f"{inside}/tcp"] = ("127.0.0.1", outside)  # type: ignore[assignment]  # docker's own form
        container.start()

    def _containers(self, engine: Any) -> dict[str, Any]:
        found = engine.containers.list(all=True, filters={"label": f"{_LABEL}={self._name}"})
        return {container.labels[_SERVER]: container for container in found}

    def _servers(self, containers: dict[str, Any]) -> Servers:
        ports = {server: _port(container) for server, container in containers.items()}
        if set(ports) != {"postgres", "kafka"}:
            raise NotUp(f"there are no containers of {self._name}")
        return Servers(
            database_url=f"postgresql://postgres@127.0.0.1:{ports['postgres']}/postgres",
            bootstrap_servers=f"127.0.0.1:{ports['kafka']}",
            postgres_version=POSTGRES_IMAGE.partition(":")[2],
            kafka_version=KAFKA_VERSION,
            pids={},
            dir=self.dir or Path(),
        )

    def _status(self, engine: Any) -> Servers | None:
        containers = self._containers(engine)
        running = [container for container in containers.values() if container.status == "running"]
        return self._servers(containers) if len(running) == 2 else None

    def _stop(self, engine: Any) -> None:
        containers = self._containers(engine)
        for server in ("kafka", "postgres"):  # in this order, as the sandbox does
            if server in containers:
                containers[server].stop(timeout=_STOP_LIMIT)
        if self.dir is None:
            for container in containers.values():
                container.remove(force=True, v=True)


def temporary(progress: Callable[[str], None] | None = None) -> Sandbox | Containers:
    """Servers for as long as a block lasts: processes, or containers if TXBOX_SANDBOX=docker."""
    in_docker = os.environ.get("TXBOX_SANDBOX") == "docker"
    return Containers(progress=progress) if in_docker else Sandbox(progress=progress)


@contextmanager
def _engine() -> Iterator[Any]:
    """The Docker engine of this machine; what it refuses becomes an error of ours."""
    try:
        from docker.errors import DockerException  # type: ignore[import-untyped]  # it has no types
        from testcontainers.core.docker_client import DockerClient
    except ModuleNotFoundError as error:
        raise NoDocker("testcontainers is not installed", "pip install testcontainers") from error
    mend = "start it, or install it (Debian: docker.io)" if shutil.which("docker") else "install Docker"
    try:
        client = DockerClient().client
        client.ping()
    except DockerException as error:
        raise NoDocker(f"no engine answers: {error}", mend) from error
    try:
        yield client
    except DockerException as error:
        raise ContainerFailed("docker", str(error), "") from error
    finally:
        client.close()


def _clear_away(engine: Any) -> None:
    """Remove containers whose process was killed."""
    for container in engine.containers.list(all=True, filters={"label": _OWNER}):
        if not Identity(**json.loads(container.labels[_OWNER])).alive():
            container.remove(force=True, v=True)


def _port(container: Any) -> int:
    """The port of this machine at which a container is reached, whether or not it runs."""
    ((binding,),) = container.attrs["HostConfig"]["PortBindings"].values()
    return int(binding["HostPort"])


def _parsed(text: str) -> dict[str, str]:
    """The settings in a file's text."""
    lines = (line.partition("=") for line in text.splitlines() if line and not line.startswith("#"))
    return {name.strip(): value.strip() for name, _, value in lines}


def _log(container: Any) -> str:
    return str(container.logs(tail=10).decode(errors="replace"))


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
