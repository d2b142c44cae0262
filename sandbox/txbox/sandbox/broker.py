"""One Kafka process, broker and KRaft controller in one."""

from __future__ import annotations

import re
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path

from txbox.sandbox.errors import NotUp, PortTaken
from txbox.sandbox.processes import ServerProcess, write_atomically
from txbox.sandbox.runtime import Runtime
from txbox.sandbox.servers import is_free, is_listening

_START_LIMIT = 60
#: the first orderly end on a machine also writes Java's start-up cache
_STOP_LIMIT = 60

#: Clusters are told apart by their ports; one id for all lets a data folder be copied.
_CLUSTER_ID = "dHhib3gtc2FuZGJveC0wMA"

_SETTINGS = """\
node.id={number}
process.roles=broker,controller
listeners=BROKER://127.0.0.1:{port},CONTROLLER://{controller}
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=BROKER
controller.listener.names=CONTROLLER
controller.quorum.voters={voters}
log.dirs={data}
auto.create.topics.enable=false
default.replication.factor={copies}
min.insync.replicas={quorum}
offsets.topic.replication.factor={copies}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr={quorum}
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor={copies}
share.coordinator.state.topic.min.isr={quorum}
share.coordinator.state.topic.num.partitions=4
# a killed member's partitions are free after seconds, not after most of a minute
group.initial.rebalance.delay.ms=0
group.consumer.session.timeout.ms=6000
group.consumer.min.session.timeout.ms=6000
group.consumer.heartbeat.interval.ms=1000
group.consumer.min.heartbeat.interval.ms=1000
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
# 128 MB by default, taken at the start
log.cleaner.dedupe.buffer.size=16777216
"""


def properties(number: int, port: int, voters: Mapping[int, str], data: Path) -> str:
    """The text of a node's server.properties.

    Args:
        number: its number.
        port: where it listens for clients.
        voters: the controllers' addresses by node, its own among them.
        data: its data folder.
    """
    copies = min(len(voters), 3)
    return _SETTINGS.format(
        number=number,
        port=port,
        controller=voters[number],
        voters=",".join(f"{voter}@{address}" for voter, address in voters.items()),
        data=data,
        copies=copies,
        quorum=copies // 2 + 1,
    )


class Broker:
    """Node `number` of a cluster; its data, settings and log are in `folder`."""

    def __init__(self, number: int, folder: Path, runtime: Runtime) -> None:
        self.number = number
        self.name = f"kafka-{number}"
        self.folder = folder
        self.data = folder / "data"
        self.process = ServerProcess(self.name, folder / "process.json", folder / "log")
        self._settings = folder / "server.properties"
        self._learned = folder / "start.aot"
        self._runtime = runtime

    @property
    def port(self) -> int | None:
        """The port in its settings, or None before the first `prepare`."""
        try:
            found = re.search(r"^listeners=BROKER://127\.0\.0\.1:(\d+)", self._settings.read_text(), re.MULTILINE)
        except OSError:
            return None
        return int(found[1]) if found else None

    @property
    def learns(self) -> bool:
        """Whether its orderly end will take longer, because it writes Java's start-up cache then."""
        return self.process.pid is not None and self._learned.exists()

    def prepare(self, port: int, voters: Mapping[int, str]) -> None:
        """Settle the ports at which `launch` will listen, and format the data folder if there is none."""
        if not self.data.exists():
            self._format(port, voters)
        write_atomically(self._settings, properties(self.number, port, voters, self.data))

    def _format(self, port: int, voters: Mapping[int, str]) -> None:
        """Make the data folder; it appears whole or not at all."""
        new = self.folder / "data.new"
        shutil.rmtree(new, ignore_errors=True)
        settings = self.folder / "format.properties"
        settings.write_text(properties(self.number, port, voters, new))
        tool = self._runtime.command("kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", settings)
        self.process.run(tool, cwd=self.folder)
        new.rename(self.data)

    def launch(self) -> None:
        """Start the process and return at once.

        Raises:
            PortTaken: another process listens on the port.
        """
        port = self._settled_port()
        if self.process.pid:
            return
        if not is_free(port):
            raise PortTaken(self.name, port)
        self._learned.unlink(missing_ok=True)
        learn = None
        if self.number == 0 and not self._runtime.has_learned:  # one is enough
            learn = self._learned
            learn.touch()  # says, until Java overwrites it at its end, that it will
        self.process.start(self._runtime.command("kafka.Kafka", self._settings, learn=learn), cwd=self.folder)

    def wait_ready(self) -> None:
        """Return when the broker accepts connections; StartFailed if it ended or took too long."""
        port = self._settled_port()
        self.process.wait_ready(lambda: is_listening(port), _START_LIMIT)

    def stop(self) -> None:
        """Orderly end: partitions are handed over first. Keeps what Java has learned about the start."""
        graceful = self.process.stop(signal.SIGTERM, _STOP_LIMIT)
        if graceful and self._learned.exists() and self._learned.stat().st_size:
            self._runtime.adopt(self._learned)
        self._learned.unlink(missing_ok=True)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()

    def _settled_port(self) -> int:
        if port := self.port:
            return port
        raise NotUp(f"there is no {self.name} in {self.folder} yet")
