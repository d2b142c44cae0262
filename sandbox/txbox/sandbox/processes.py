"""Server processes that outlive the one that started them, and can be found again by any other.

A server is known by a file that holds its pid and its start time. Together they name one process for ever, so a pid
that the kernel has given to somebody else since is never signalled. The server's program is executed only after that
file is on disk: whenever the starter dies, either no server runs or its file tells which.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from txbox.sandbox.errors import StartFailed

#: Waits for a line, then becomes the server; end of file instead of a line means that the starter died first.
_GATE = 'read -r go && exec "$@" </dev/null'
_PROBE = 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The unprivileged user that runs a server in root's place."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """One process, told apart from any other that gets its pid later."""

    pid: int
    #: when it started, in whatever words the system has for it
    started: str

    @classmethod
    def of(cls, pid: int) -> Identity:
        """Who has `pid` now."""
        return cls(pid=pid, started=start_time(pid) or "never")

    @classmethod
    def read(cls, file: Path) -> Identity | None:
        """What `write` wrote; None when there is no such file, or when it is damaged and names nobody."""
        try:
            return cls(**json.loads(file.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, file: Path) -> None:
        write_atomically(file, json.dumps(asdict(self)))

    def alive(self) -> bool:
        return start_time(self.pid) == self.started

    def signal(self, number: int) -> None:
        """Send a signal, if this very process still lives."""
        if self.alive():
            with suppress(ProcessLookupError):  # it ended between the look and the signal
                os.kill(self.pid, number)


def start_time(pid: int) -> str | None:
    """When process `pid` started, or None when there is none (or only its remains, not yet reaped)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None if Path("/proc/self/stat").exists() else _start_time_by_ps(pid)
    state, *fields = stat[stat.rindex(")") + 2 :].split()  # the name before it may hold spaces and brackets
    # a dead process stays as "Z" until its parent asks for it; while threads of it still end, its ports are taken
    return None if state in "ZX" and _threads(pid) <= 1 else fields[18]


def _threads(pid: int) -> int:
    try:
        return len(list(Path(f"/proc/{pid}/task").iterdir()))
    except OSError:
        return 0


def _start_time_by_ps(pid: int) -> str | None:
    shown = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True).stdout.split()
    return " ".join(shown[1:]) if shown and not shown[0].startswith("Z") else None


def children(pid: int) -> list[Identity]:
    """The live processes that `pid` has started; none where there is no /proc to look into."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = stat.read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue  # it ended while we looked
        if parent == str(pid):
            found.append(Identity.of(int(stat.parent.name)))
    return found


class ServerProcess:
    """One server, running or not, known by `file`; what it prints goes to `log`."""

    def __init__(self, name: str, file: Path, log: Path) -> None:
        self.name = name
        self.file = file
        self.log = log

    @property
    def pid(self) -> int | None:
        """The pid of the live server, or None."""
        identity = Identity.read(self.file)
        return identity.pid if identity and identity.alive() else None

    def start(
        self,
        command: Sequence[str | Path],
        *,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        account: Account | None = None,
    ) -> None:
        """Start the server in a session of its own, so that a signal to our terminal does not reach it.

        Returns when the process is on file, not when it is ready.
        """
        process = self._launch(command, cwd, env, account)
        threading.Thread(target=process.wait, name=f"reap-{self.name}", daemon=True).start()

    def run(
        self,
        command: Sequence[str | Path],
        *,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        account: Account | None = None,
    ) -> None:
        """Run a program that prepares the server, in the server's place: if we are killed, it can be ended like it.

        Raises:
            StartFailed: it did not succeed.
        """
        if code := self._launch(command, cwd, env, account).wait():
            reason = f"{Path(command[0]).name} failed with code {code}"
            raise StartFailed(self.name, reason, self.log, self.log_tail())

    def _launch(
        self, command: Sequence[str | Path], cwd: Path, env: Mapping[str, str] | None, account: Account | None
    ) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                ["/bin/sh", "-c", _GATE, self.name, *map(str, command)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env=env,
                start_new_session=True,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
            )
        Identity.of(process.pid).write(self.file)
        with process.stdin as gate:  # type: ignore[union-attr]  # PIPE above makes it a stream
            gate.write(b"go\n")
        return process

    def signal(self, number: int) -> None:
        """Send a signal to the server, if it lives."""
        if identity := Identity.read(self.file):
            identity.signal(number)

    def stop(self, number: int, limit: float) -> bool:
        """Ask the server to end; after `limit` seconds kill it. Returns whether it ended by itself."""
        self.signal(number)
        graceful = self.wait_gone(limit)
        if not graceful:
            self.kill()
        return graceful

    def kill(self) -> None:
        """End the server with SIGKILL and wait until it is gone."""
        self.signal(signal.SIGKILL)
        self.wait_gone(10)

    def wait_gone(self, limit: float) -> bool:
        return eventually(lambda: self.pid is None, limit)

    def wait_ready(self, ready: Callable[[], bool], limit: float) -> None:
        """Wait until `ready()`.

        Raises:
            StartFailed: the server ended, or was not ready after `limit` seconds.
        """
        if not eventually(lambda: self.pid is None or ready(), limit):
            raise StartFailed(self.name, f"it was not ready within {limit:.0f} s", self.log, self.log_tail())
        if self.pid is None:
            raise StartFailed(self.name, "the process ended", self.log, self.log_tail())

    def log_tail(self, lines: int = 15) -> str:
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""


def eventually(condition: Callable[[], bool], limit: float) -> bool:
    """Whether `condition()` came true within `limit` seconds."""
    deadline = time.monotonic() + limit
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_PROBE)
    return True


def write_atomically(file: Path, text: str) -> None:
    """Replace `file` by `text`; whoever reads it, at any time, finds the old text or the new one."""
    new = file.with_name(f"{file.name}.{os.getpid()}.new")
    new.write_text(text)
    new.replace(file)
