"""A real PostgreSQL and a real Kafka on loopback, in one folder, found again by whoever names that folder."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from txbox.sandbox.errors import AlreadyUp
from txbox.sandbox.kafka import Kafka
from txbox.sandbox.postgres import Postgres
from txbox.sandbox.processes import Identity, ServerProcess, write_atomically
from txbox.sandbox.servers import Servers, free_ports, settle_ports

_PREFIX = "txbox-sandbox-"


class Sandbox:
    """One PostgreSQL server and one Kafka cluster.

    As a context manager it is up inside the block. `up` and `down` may also be called by different processes, one after
    the other: everything they need to know is in the folder. Servers run in sessions of their own and outlive the
    process that started them; whatever a killed `up` left behind, the next `up` or `down` clears away.

    Args:
        dir: its folder, kept by `down` and wiped by `reset`. By default a temporary one, which goes with `down`.
        postgres: the bin folder of an installed PostgreSQL, instead of the wheel's.
        brokers: how many Kafka brokers; by default as many as the folder has, or one.
        progress: told, in a few words, what takes long.
        fsync: False makes PostgreSQL faster and unsafe against loss of power (kill -9 it survives either way).
    """

    def __init__(
        self,
        dir: Path | None = None,  # noqa: A002  # what everybody calls it
        postgres: Path | None = None,
        brokers: int | None = None,
        progress: Callable[[str], None] | None = None,
        *,
        fsync: bool = True,
    ) -> None:
        self._temporary = dir is None
        self.dir = dir.absolute() if dir else _temporary_folder()
        self._progress = progress or (lambda _: None)
        self.postgres = Postgres(self.dir / "postgres", postgres, fsync=fsync)
        self.kafka = Kafka(self.dir / "kafka", brokers, self._progress)

    def __enter__(self) -> Servers:
        return self.up()

    def __exit__(self, *failure: object) -> None:
        self.down()

    def up(self) -> Servers:
        """Start both servers and return when they serve; on an error nothing is left running.

        Ports of the last time are taken again where they are free.

        Raises:
            AlreadyUp: they run already.
            SandboxError: they cannot be started; the kind of error says why.
        """
        with self._locked():
            if running := self.status():
                raise AlreadyUp(running)
            self._stop()
            try:
                self._start()
            except BaseException:  # Ctrl-C too
                self._stop()
                raise
            servers = self.servers()
            write_atomically(self._state, servers.to_json())
            return servers

    def down(self) -> None:
        """Stop what runs, Kafka first, then PostgreSQL: in good order or else by force. Nothing runs: nothing to do."""
        if not self.dir.exists():
            return
        with self._locked():
            self._stop()
        if self._temporary:
            shutil.rmtree(self.dir, ignore_errors=True)

    def status(self) -> Servers | None:
        """The servers if all of them run, else None."""
        if not self._state.exists() or not all(process.pid for process in self._processes()):
            return None
        return self.servers()

    def servers(self) -> Servers:
        """Where the servers are, whether or not each of them runs at the moment.

        Raises:
            NotUp: the sandbox was never up.
        """
        return Servers(
            database_url=self.postgres.url,
            bootstrap_servers=self.kafka.bootstrap_servers,
            postgres_version=self.postgres.version,
            kafka_version=self.kafka.version,
            pids={process.name: pid for process in self._processes() if (pid := process.pid)},
            dir=self.dir,
        )

    def reset(self) -> None:
        """`down`, then delete all data, settings and logs in the folder."""
        self.down()
        if self.dir.exists():
            for folder in (self.postgres.folder, self.kafka.folder):
                shutil.rmtree(folder, ignore_errors=True)

    @property
    def _state(self) -> Path:
        return self.dir / "state.json"

    def _processes(self) -> list[ServerProcess]:
        return [self.postgres.process, *(broker.process for broker in self.kafka.brokers)]

    def _start(self) -> None:
        self.postgres.program("postgres")  # a wrong folder is told now, not after Kafka's start
        wanted = [self.postgres.port, *(broker.port for broker in self.kafka.brokers)]
        postgres_port, *kafka_ports = settle_ports(wanted)
        with ThreadPoolExecutor(2, thread_name_prefix="sandbox") as pool:
            postgres = pool.submit(self._start_postgres, postgres_port)
            kafka = pool.submit(self._start_kafka, kafka_ports)
        postgres.result()
        kafka.result()

    def _start_postgres(self, port: int) -> None:
        self.postgres.prepare(port)
        self.postgres.start()

    def _start_kafka(self, ports: list[int]) -> None:
        self.kafka.prepare(ports, free_ports(len(ports)))
        self.kafka.start_all()

    def _stop(self) -> None:
        self._state.unlink(missing_ok=True)
        self.kafka.stop_all()
        self.postgres.stop()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One `up` or `down` at a time in one folder; the kernel frees the lock when its holder dies."""
        if not self.dir.exists():
            self.dir.mkdir(parents=True)
            self.dir.chmod(0o755)  # whatever the umask: in root's place another user runs PostgreSQL
            if self._temporary:
                _sign(self.dir)
        with (self.dir / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _temporary_folder() -> Path:
    """A new folder's name. Folders of sandboxes whose owner was killed are cleared away on this occasion."""
    parent = Path(tempfile.gettempdir())
    for left in parent.glob(f"{_PREFIX}*"):
        if left.stat().st_uid != os.geteuid():
            continue  # another user's, and the processes that it names are not ours to end
        if (owner := Identity.read(left / "owner.json")) and not owner.alive():
            Sandbox(left).reset()
            shutil.rmtree(left, ignore_errors=True)
    return parent / f"{_PREFIX}{uuid4().hex[:12]}"


def _sign(folder: Path) -> None:
    """Say whose temporary folder this is."""
    Identity.of(os.getpid()).write(folder / "owner.json")
