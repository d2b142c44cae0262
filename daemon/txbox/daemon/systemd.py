"""What systemd is told of a daemon (`Type=notify`): that it is ready, how it stands, and that it is alive.

The protocol is sd_notify's: lines of NAME=value in a datagram to the socket that NOTIFY_SOCKET names. Without that
variable there is nobody to tell, and nothing is done.
"""

import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from txbox.daemon.health import Health, Report
from txbox.daemon.stop import Stop

__all__ = ["notifying"]

#: seconds between two notices, at most
_EVERY: Final = 1.0
#: microseconds that a start may still take, asked for anew with each notice
_STARTING: Final = 60_000_000

_log = logging.getLogger(__name__)


@contextmanager
def notifying(health: Health, stop: Stop) -> Iterator[None]:
    """Tell systemd how the daemon stands for as long as the block lasts, and at its end that it stops.

    READY=1 is said when /readyz first says so. A daemon that still waits for its servers asks for more time instead, so
    that a start has no limit but that of being alive. WATCHDOG=1 is said while /livez is well and no longer: a daemon
    that is stuck is ended, and started again. Never raises, and never holds the daemon up.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        yield
        return
    with _Systemd(address) as systemd:
        ended = threading.Event()
        thread = threading.Thread(target=_tell, args=(systemd, health, stop, ended), name="systemd", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            systemd.say("STOPPING=1")


class _Systemd:
    """The socket on which systemd listens."""

    def __init__(self, address: str) -> None:
        # "@" stands for the zero byte with which the names of abstract sockets begin
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)  # one notice less is no harm, the next one comes

    def say(self, *lines: str) -> None:
        """Send one notice."""
        try:
            self._socket.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            _log.debug("systemd was not told", extra={"why": str(error)})

    def __enter__(self) -> "_Systemd":
        return self

    def __exit__(self, *failure: object) -> None:
        self._socket.close()


def _tell(systemd: _Systemd, health: Health, stop: Stop, ended: threading.Event) -> None:
    """Say how it stands, again and again."""
    started, every = False, _interval()
    while True:
        report = health.report()
        started = started or report.ready
        systemd.say(*_notice(report, live=health.live(), started=started, stopping=stop.requested))
        if ended.wait(every):
            return


def _notice(report: Report, *, live: bool, started: bool, stopping: bool) -> Iterator[str]:
    """Yield the lines of one notice. READY=1 may be repeated: systemd counts the first."""
    troubles = [f"{name}: {check.why}" for name, check in report.checks.items() if not check.ok]
    yield f"STATUS={' '.join('; '.join([report.role, *troubles]).split())}"
    if stopping:
        yield "STOPPING=1"
    elif started:
        yield "READY=1"
    elif live:
        yield f"EXTEND_TIMEOUT_USEC={_STARTING}"
    if live:
        yield "WATCHDOG=1"


def _interval() -> float:
    """Return the seconds between two notices: at least two in the time that the watchdog gives."""
    watchdog = os.environ.get("WATCHDOG_USEC", "")
    return min(_EVERY, int(watchdog) / 2_000_000) if watchdog.isdecimal() and int(watchdog) else _EVERY
