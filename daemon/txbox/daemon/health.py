"""What a process says of itself: alive (its loop turns), ready (it can do its work), and in which role."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

__all__ = ["Check", "Health", "Report", "checks"]

#: seconds without a sign of life after which a process is stuck; one handler may take half of it by default
_STUCK_AFTER: Final = 60.0


@dataclass(frozen=True, slots=True)
class Check:
    """One condition of readiness."""

    ok: bool
    #: what is wrong and what to do, or how it stands
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The answer of /readyz."""

    ready: bool
    role: str
    checks: dict[str, Check]


class Health:
    """Written by the loop, read by the HTTP server's threads. Every check begins as not ok: ready is earned."""

    def __init__(self, *checks: str, role: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock = threading.Lock()
        self._clock = clock
        self._role = role
        self._checks = {name: Check(ok=False, why="not tried yet") for name in checks}
        self._beaten = clock()

    def set(self, name: str, ok: bool, why: str = "") -> None:
        """Note how the check `name` stands."""
        with self._lock:
            self._checks[name] = Check(ok, why)

    def role(self, role: str) -> None:
        """Note what this process does now, e.g. leader or standby."""
        with self._lock:
            self._role = role

    def beat(self) -> None:
        """Note a sign of life: a turn of the loop, a handler that returned."""
        self._beaten = self._clock()

    def live(self) -> bool:
        """Return whether there was a sign of life within the last minute; if not, the process should be restarted."""
        return self._clock() - self._beaten < _STUCK_AFTER

    def report(self) -> Report:
        """Return how all checks stand now."""
        with self._lock:
            ready = all(check.ok for check in self._checks.values())
            return Report(ready=ready, role=self._role, checks=dict(self._checks))


def checks(health: Health, registry: CollectorRegistry) -> None:
    """Add `txbox_check_ok` to the registry: what /readyz answers, for those who are told by Prometheus alone."""
    registry.register(_Checks(health))


class _Checks(Collector):
    def __init__(self, health: Health) -> None:
        self._health = health

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Read at each scrape."""
        text = "1 if a check of /readyz is passed, 0 if not; /readyz says why."
        family = GaugeMetricFamily("txbox_check_ok", text, labels=["check"])
        for name, check in self._health.report().checks.items():
            family.add_metric([name], float(check.ok))
        yield family
