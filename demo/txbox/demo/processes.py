"""The demonstration's processes: started, killed, started again."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["Service"]


class Service:
    """One service, as one process at a time. What it logs goes to a file."""

    def __init__(self, name: str, arguments: Sequence[str], env: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        #: every pid that it had
        self.pids: list[int] = []
        #: how each of its processes ended: -9 is SIGKILL
        self.exits: list[int] = []
        self._arguments, self._env = list(arguments), dict(env)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, failpoint: str | None = None) -> None:
        """Start it; with `failpoint`, it will kill itself there."""
        armed = {"TXBOX_FAILPOINTS": "1", "TXBOX_FAILPOINT": failpoint} if failpoint else {}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *self._arguments],
                env={**os.environ, **self._env, **armed},
                stdout=log,
                stderr=log,
                # Of its own session: Ctrl-C in the terminal is for the demonstration, which then ends its services.
                start_new_session=True,
            )
        self.pids.append(self._process.pid)

    def kill(self) -> None:
        """Send SIGKILL."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)

    def ended(self, within: float = 0.0) -> bool:
        """Return whether it has ended, at the latest after `within` seconds; its exit code is noted once."""
        if self._process is None:
            return True
        try:
            self.exits.append(self._process.wait(within))
        except subprocess.TimeoutExpired:
            return False
        self._process = None
        return True

    def stop(self, within: float = 30.0) -> bool:
        """Send SIGTERM; kill it if it takes too long. Return whether it ended by itself, with 0."""
        if self._process is None:
            return False
        self._process.terminate()
        if not self.ended(within):
            self.kill()
            self.ended(5)
        return self.exits[-1] == 0

    def logged(self, what: str) -> int:
        """Return how many times it has logged something."""
        return self.log.read_text(errors="replace").count(what) if self.log.exists() else 0

    def last_words(self) -> str:
        """Return the last line that it logged."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return lines[-1] if lines else "it logged nothing"
