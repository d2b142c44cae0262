"""How the commands that run for long begin and end."""

from typing import Protocol

import click
from prometheus_client import CollectorRegistry

from txbox.cli.options import State, Values
from txbox.cli.output import say
from txbox.daemon import Health, Http, Stop, notifying, serving
from txbox.daemon.health import checks
from txbox.daemon.log import configure
from txbox.daemon.versions import build_info

__all__ = ["run_daemon"]


class Daemon(Protocol):
    """A relay or a consumer's runner."""

    @property
    def health(self) -> Health: ...
    @property
    def registry(self) -> CollectorRegistry: ...
    def run(self, *, once: bool = False) -> None: ...


def run_daemon(values: Values, stop: Stop, daemon: Daemon, *, once: bool, interrupt_after: float | None = None) -> None:
    """Run until a signal, with log, metrics and health, and tell systemd; `once` opens no port.

    What is still under way so many seconds after a signal is interrupted (KeyboardInterrupt).
    """
    state = click.get_current_context().find_object(State) or State()
    level = values.by_key["log.level"]
    if state.verbosity:
        level = "debug" if state.verbosity > 0 else "warning"
    configure(level, values.by_key["log.format"])
    build_info(daemon.registry)
    checks(daemon.health, daemon.registry)
    http = Http(port=None) if once else values.http()
    interrupted = stop.on_signals(interrupt_after=interrupt_after)
    with interrupted, serving(http, daemon.health, daemon.registry) as port:
        if port:
            say(f"metrics and health on http://{http.host}:{port}")
        with notifying(daemon.health, stop):
            daemon.run(once=once)
