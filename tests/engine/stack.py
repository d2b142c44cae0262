"""docker-compose.yml on the engine of this machine, under a name of its own."""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any, Final

from tests.waiting import eventually
from txbox.sandbox.servers import free_ports

__all__ = ["PORTS", "ROOT", "Container", "NoEngine", "Stack", "docker"]

ROOT: Final = Path(__file__).parent.parent.parent
_PROJECT: Final = "txbox-engine"
#: others than those of a stack that somebody has up
PORTS: Final = dict(zip(("POSTGRES", "KAFKA", "PROMETHEUS"), map(str, free_ports(3)), strict=True))
#: Grafana is left out: all that is ours in it are files, which are tested without it
_SERVICES: Final = ("relay", "orders", "billing", "prometheus")


class NoEngine(Exception):
    """There is no Docker engine here, or no docker compose."""


def docker(*arguments: str, within: float = 120.0, ok: tuple[int, ...] = (0,)) -> str:
    """Run docker and return what it prints; it must end with one of the codes `ok`."""
    env = {**os.environ, **{f"SHOP_{name}_PORT": port for name, port in PORTS.items()}}
    done = subprocess.run(["docker", *arguments], cwd=ROOT, env=env, capture_output=True, text=True, timeout=within)
    assert done.returncode in ok, f"docker {' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


class Container:
    """One container of the stack, under the name that it keeps over restarts."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def facts(self) -> Any:
        """What the engine knows of it."""
        return json.loads(docker("inspect", self.name))[0]

    @property
    def pid(self) -> int:
        """Its first process, as this machine counts."""
        return int(self.facts["State"]["Pid"])

    def crash(self) -> None:
        """SIGKILL, as the kernel sends it when memory is short: the engine starts it again, by its restart policy."""
        before = self.pid
        os.kill(before, signal.SIGKILL)
        eventually(lambda: self.pid not in (0, before), within=60, every=0.2)

    def kill(self) -> None:
        """`docker kill -s KILL`: the engine takes it for a person's wish, and leaves it down."""
        docker("kill", "--signal", "KILL", self.name)

    def start(self) -> None:
        docker("start", self.name)


class Stack:
    """What `docker compose up` brings up. Down again, with its volumes, by `down`."""

    def __init__(self) -> None:
        if shutil.which("docker") is None:
            raise NoEngine("there is no docker on PATH: Debian has it as docker.io, or see docs.docker.com")
        for question in (["info"], ["compose", "version"]):
            answer = subprocess.run(["docker", *question], capture_output=True, text=True)
            if answer.returncode or "Server" not in answer.stdout + "Server" * (question != ["info"]):
                raise NoEngine(f"docker {' '.join(question)}: {answer.stderr.strip() or 'no server answers'}")

    def compose(self, *arguments: str, within: float = 120.0, ok: tuple[int, ...] = (0,)) -> str:
        """Run docker compose."""
        return docker("compose", "--project-name", _PROJECT, *arguments, within=within, ok=ok)

    def up(self) -> None:
        """Build, start, and return when everything is healthy."""
        self.compose("up", "--detach", "--build", "--wait", *_SERVICES, within=580)

    def down(self) -> None:
        self.compose("--profile", "verdict", "down", "--volumes", "--timeout", "5")

    def containers(self, service: str) -> list[Container]:
        """The service's containers, running or not."""
        names = self.compose("ps", "--all", "--format", "{{.Name}}", service).split()
        return [Container(name) for name in sorted(names)]

    def container(self, service: str) -> Container:
        """The service's only container."""
        (one,) = self.containers(service)
        return one
