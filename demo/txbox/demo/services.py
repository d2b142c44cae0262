"""The demonstration's three services: started, watched, killed, started again, and ended."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from txbox.daemon import Stop
from txbox.demo import evidence
from txbox.demo.killer import Kill
from txbox.demo.processes import Service
from txbox.demo.screen import Screen
from txbox.demo.shop import TOPIC, Shop

__all__ = ["Services", "eventually"]

#: seconds for a process to reach the failpoint that it was started with
_PATIENCE: Final = 30.0
#: seconds between two lines that say how far it is
_EVERY: Final = 4.0
_KILLED: Final = -signal.SIGKILL


class Services:
    """Orders, relay and billing, each a process of its own at any time."""

    def __init__(self, shop: Shop, folder: Path, screen: Screen, *, seed: int, dedupe: bool) -> None:
        self.shop = shop
        #: when a process was killed
        self.kills: list[datetime] = []
        #: what should not have happened, whatever the figures say
        self.unexpected: list[str] = []
        self.screen = screen
        self._orders = Service("orders", ["txbox.demo.orders", shop.url_of("shop_orders"), str(seed)], {}, folder)
        self._relay = Service("relay", ["txbox.cli", "relay", "run"], _env(shop, shop.url_of("shop_relay")), folder)
        self.billing = _billing(shop, folder, dedupe=dedupe)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run all three for as long as the block lasts. Nothing survives it, however it ends."""
        _make_topic(self.shop.bootstrap_servers)
        try:
            for service in self._all():
                service.start()
                self.screen.event(f"{service.name} runs as process {service.pids[-1]}")
            yield
        finally:
            for service in self._all():
                service.kill()
                service.ended(5)

    def watch(self, until: float, stop: Stop) -> bool:
        """Let time pass until the monotonic time `until`, and tell how it goes; return whether to stop."""
        while (left := until - time.monotonic()) > 0 and not stop.wait(min(left, _EVERY)):
            self._tell()
            for service in self._all():
                if service.ended():
                    self.note(f"{service.name} ended by itself with {service.exits[-1]}: {service.last_words()}")
                    service.start()
        return stop.requested

    def kill(self, kill: Kill) -> None:
        """Kill a service, or let it kill itself at a failpoint; start it again at once, as a supervisor would."""
        service = self._relay if kill.target == "relay" else self.billing
        if kill.failpoint is None:
            service.kill()
        else:
            service.stop()
            service.start(f"{kill.failpoint}:kill")
        pid = service.pids[-1]
        if not service.ended(_PATIENCE):
            self.note(f"{service.name} did not pass {kill.failpoint} within {_PATIENCE:.0f} s")
            service.kill()
            service.ended(5)
        self.kills.append(datetime.now(UTC))
        if service.exits[-1] != _KILLED:
            self.note(f"{service.name} was killed, but ended with {service.exits[-1]}: {service.last_words()}")
        service.start()
        where = f"at {kill.failpoint}" if kill.failpoint else "somewhere"
        self.screen.event(f"kill -9 {service.name} (process {pid}) {where}", style="red")

    def settle(self, within: float) -> None:
        """End the orders, wait until all are charged, then end the others: by SIGTERM, which they must obey."""
        self._end(self._orders)
        committed = evidence.placed(self.shop)
        if not eventually(lambda: evidence.charged(self.shop) >= committed, within):
            self.note(f"not all {committed} orders were charged within {within:.0f} s")
        self._tell()
        self._end(self._relay)
        self._end(self.billing)
        pids = [pid for service in self._all() for pid in service.pids]
        if len(set(pids)) != len(pids):
            self.note(f"services shared a process: {pids}")

    def _all(self) -> tuple[Service, ...]:
        return (self.billing, self._relay, self._orders)

    def _end(self, service: Service) -> None:
        if not service.stop():
            self.note(f"{service.name} did not end with 0 when asked to: {service.exits} {service.last_words()}")

    def _tell(self) -> None:
        self.screen.event(
            f"{evidence.placed(self.shop):,} orders, {evidence.charged(self.shop):,} of them charged", style="green"
        )

    def environment(self, url: str) -> dict[str, str]:
        """Return the environment of somebody who types commands at a database."""
        return {**os.environ, **_env(self.shop, url)}

    def note(self, what: str) -> None:
        """Tell, and keep for the end, what should not have happened."""
        self.unexpected.append(what)
        self.screen.event(what, style="bold red")


def _billing(shop: Shop, folder: Path, *, dedupe: bool) -> Service:
    if not dedupe:
        return Service("billing", ["txbox.demo.naive", shop.url_of("shop_billing"), shop.bootstrap_servers], {}, folder)
    # A stable instance id: the successor of a killed process gets the partitions at once, not after the session's end.
    env = {"TXBOX_CONSUMER__INSTANCE_ID": "billing", "TXBOX_CONSUMER__SESSION_TIMEOUT": "6s"}
    arguments = ["txbox.cli", "consume", "txbox.demo.billing:consumer"]
    return Service("billing", arguments, {**_env(shop, shop.url_of("shop_billing")), **env}, folder)


def _env(shop: Shop, url: str) -> dict[str, str]:
    return {
        "TXBOX_DATABASE__URL": url,
        "TXBOX_KAFKA__BOOTSTRAP_SERVERS": shop.bootstrap_servers,
        "TXBOX_HTTP__PORT": "0",
    }


def _make_topic(bootstrap_servers: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    admin.create_topics([NewTopic(TOPIC, num_partitions=6, replication_factor=1)])[TOPIC].result(timeout=30)


def eventually(probe: Callable[[], bool], within: float) -> bool:
    """Return whether the condition holds before the time is up."""
    deadline = time.monotonic() + within
    while not probe():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
