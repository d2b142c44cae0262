"""Run services in threads and in processes; all are over when the block is."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from tests.waiting import eventually

__all__ = ["Process", "process", "repeating", "running"]

ROOT = Path(__file__).parent.parent.parent


class Service(Protocol):
    """What has a loop."""

    def run(self) -> None: ...
    def stop(self) -> None: ...


@contextmanager
def running(service: Service) -> Iterator[Future[None]]:
    """Run it in a thread, and stop it at the end; an error of its own is the test's."""
    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(service.run)
        try:
            yield ended
        finally:
            service.stop()
        ended.result(30)


class Process:
    """`python -m module arguments`, with its log."""

    def __init__(self, module: str, *arguments: str, failpoint: str | None = None) -> None:
        env = dict(os.environ)
        if failpoint:
            env |= {"TXBOX_FAILPOINTS": "1", "TXBOX_FAILPOINT": failpoint}
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # closed by close()
        command = [sys.executable, "-m", module, *arguments]
        self.popen = subprocess.Popen(command, env=env, cwd=ROOT, stdout=self._log, stderr=self._log)

    @property
    def log(self) -> str:
        """All that it said so far."""
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode()

    def said(self, text: str) -> None:
        """Return when its log has this text."""
        eventually(lambda: self._is_said(text))

    def ended(self) -> int:
        """Wait for its end and return its exit code; minus the signal that ended it."""
        return self.popen.wait(30)

    def kill(self) -> None:
        """SIGKILL."""
        self.popen.kill()
        self.popen.wait()

    def terminate(self) -> int:
        """SIGTERM; return the exit code."""
        self.popen.send_signal(signal.SIGTERM)
        return self.ended()

    def close(self) -> None:
        self.kill()
        self._log.close()

    def _is_said(self, text: str) -> bool:
        if text in self.log:
            return True
        assert self.popen.poll() is None, f"ended with {self.popen.returncode}:\n{self.log}"
        return False


@contextmanager
def process(module: str, *arguments: str, failpoint: str | None = None) -> Iterator[Process]:
    """Start one, and kill it at the end if it still runs."""
    one = Process(module, *arguments, failpoint=failpoint)
    try:
        yield one
    finally:
        one.close()


@contextmanager
def repeating(what: Callable[[], object], every: float) -> Iterator[None]:
    """Call it again and again in a thread, until the block is over."""
    over = threading.Event()

    def repeat() -> None:
        while not over.wait(every):
            what()

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
