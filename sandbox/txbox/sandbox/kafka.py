"""A Kafka cluster on loopback: one process or a few, each broker and KRaft controller in one."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

from txbox.sandbox.broker import Broker
from txbox.sandbox.errors import NotUp, StartFailed, WrongData
from txbox.sandbox.jars import KAFKA_VERSION
from txbox.sandbox.runtime import Runtime
from txbox.sandbox.warm_up import warm_up


class Kafka:
    """A cluster below `folder`; its brokers are called by number, from 0.

    Args:
        folder: its own folder.
        brokers: how many, by default as many as the folder has, or one; from three on, topics have three copies and
            outlive any one broker.
        progress: told, in a few words, what takes long.
    """

    version = KAFKA_VERSION

    def __init__(self, folder: Path, brokers: int | None, progress: Callable[[str], None]) -> None:
        self.folder = folder
        self._asked = brokers
        runtime = Runtime(progress)
        count = len(list(folder.glob("[0-9]*"))) or brokers or 1
        self.brokers = tuple(Broker(number, folder / str(number), runtime) for number in range(count))
        self._progress = progress

    @property
    def ports(self) -> list[int]:
        """The brokers' ports in the settings on disk; empty before the first `prepare`."""
        return [port for broker in self.brokers if (port := broker.port)]

    @property
    def bootstrap_servers(self) -> str:
        """What clients call bootstrap.servers."""
        if ports := self.ports:
            return ",".join(f"127.0.0.1:{port}" for port in ports)
        raise NotUp(f"there is no Kafka in {self.folder} yet")

    def prepare(self, ports: list[int], controller_ports: list[int]) -> None:
        """Settle the ports at which the brokers will listen, and format their folders if that was not done yet."""
        if self._asked not in (None, len(self.brokers)):
            raise WrongData(f"{self.folder} has {len(self.brokers)} brokers, and {self._asked} were asked for")
        for broker in self.brokers:  # first of all, because their number says how many belong together
            broker.folder.mkdir(parents=True, exist_ok=True)
        voters = {number: f"127.0.0.1:{port}" for number, port in enumerate(controller_ports)}
        for broker, port in zip(self.brokers, ports, strict=True):
            broker.prepare(port, voters)

    def start_all(self) -> None:
        """Start all brokers; return when topics can be made, written and read by a group without a further wait.

        Raises:
            PortTaken, StartFailed: a broker cannot listen, ended, or was not ready in time.
        """
        for broker in self.brokers:  # all of them before any wait: one alone is no quorum
            broker.launch()
        for broker in self.brokers:
            broker.wait_ready()
        if not warm_up(self.bootstrap_servers, len(self.brokers)):
            process = self.brokers[0].process
            raise StartFailed(process.name, "it listens but serves no topic", process.log, process.log_tail())

    def stop_all(self) -> None:
        """Orderly end of all brokers."""
        if self.brokers[0].learns:
            self._progress("writing Java's start-up cache for Kafka, once")
        for broker in self.brokers:
            broker.process.signal(signal.SIGTERM)
        for broker in self.brokers:
            broker.stop()

    def start(self, number: int) -> None:
        """Start one broker on its port and return when it accepts connections."""
        broker = self._broker(number)
        broker.launch()
        broker.wait_ready()

    def stop(self, number: int) -> None:
        """Orderly end of one broker."""
        self._broker(number).stop()

    def kill(self, number: int) -> None:
        """SIGKILL to one broker."""
        self._broker(number).kill()

    def restart(self, number: int) -> None:
        """Orderly end of one broker, then a start on the same port."""
        self.stop(number)
        self.start(number)

    def _broker(self, number: int) -> Broker:
        if 0 <= number < len(self.brokers):
            return self.brokers[number]
        raise NotUp(f"there is no broker {number}; this sandbox has {len(self.brokers)}, counted from 0")
