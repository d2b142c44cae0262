"""How a daemon is told to stop: once to finish what it began, twice to stop now."""

import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Stop"]


class Stop:
    """A request to stop, by a signal or by `request`, and a sleep that it ends.

    Waiting is done on a pipe and not on a threading.Event: a signal handler runs in the middle of the main thread, and
    Event.set would wait for a lock that this very thread may hold.
    """

    def __init__(self) -> None:
        self._requests = 0
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)

    @property
    def requested(self) -> bool:
        """Whether to stop, after finishing what is under way."""
        return self._requests > 0

    @property
    def now(self) -> bool:
        """Whether to stop without finishing anything: it was requested twice."""
        return self._requests > 1

    def request(self) -> None:
        """Ask for a stop; the second time, for one without delay. Safe in signal handlers and from any thread."""
        self._requests += 1
        if self._requests == 1:
            os.write(self._write, b"x")

    def wait(self, seconds: float) -> bool:
        """Sleep for up to `seconds`, less when a stop is requested; return whether one was."""
        if not self.requested:
            select.select([self._read], [], [], max(seconds, 0))
        return self.requested

    @contextmanager
    def on_signals(self, *, interrupt_after: float | None = None) -> Iterator[None]:
        """Request a stop at SIGTERM and SIGINT for as long as the block lasts. Main thread only.

        With `interrupt_after`, what runs in the block is interrupted by the second signal, and so many seconds after
        the first one: KeyboardInterrupt is raised in it, wherever it is.
        """

        def ask(_number: int, _frame: FrameType | None) -> None:
            self.request()
            if interrupt_after is None:
                return
            if self.now or not interrupt_after:
                raise KeyboardInterrupt
            signal.setitimer(signal.ITIMER_REAL, interrupt_after)

        handlers = {signal.SIGTERM: ask, signal.SIGINT: ask, signal.SIGALRM: _interrupt}
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            for number, handler in before.items():
                signal.signal(number, handler)

    def __del__(self) -> None:
        os.close(self._read)
        os.close(self._write)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
