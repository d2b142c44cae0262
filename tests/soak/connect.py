"""Kafka Connect with Debezium's connector for PostgreSQL, as a process of its own."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

from tests.waiting import eventually
from txbox.sandbox.folders import cache_folder
from txbox.sandbox.jars import parse_lock, provide
from txbox.sandbox.java import find_java
from txbox.sandbox.servers import free_ports

__all__ = ["Connect", "connect"]

_LOCK: Final = Path(__file__).with_name("debezium.lock")
_WORKER: Final = """
bootstrap.servers={servers}
listeners=http://127.0.0.1:{port}
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.storage.StringConverter
offset.storage.file.filename={folder}/offsets
offset.flush.interval.ms=1000
plugin.discovery=only_scan
"""


class Connect:
    """Its REST interface."""

    def __init__(self, port: int) -> None:
        self._port = port

    def ask(self, method: str, path: str, body: Mapping[str, str] | None = None) -> Any:
        """Return what it answers; None for nothing."""
        connection = HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            headers = {"content-type": "application/json"}
            connection.request(method, path, body=json.dumps(body) if body is not None else None, headers=headers)
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status < 400, f"{method} {path}: {answer.status} {text.decode()}"
            return json.loads(text) if text else None
        finally:
            connection.close()

    def answers(self) -> bool:
        """Whether it has started."""
        try:
            return self.ask("GET", "/connectors") is not None
        except (AssertionError, OSError):
            return False

    def state(self, connector: str) -> tuple[str, list[str]]:
        """The states of a connector and of its tasks."""
        status = self.ask("GET", f"/connectors/{connector}/status")
        return status["connector"]["state"], [task["state"] for task in status["tasks"]]


@contextmanager
def connect(bootstrap_servers: str, folder: Path) -> Iterator[Connect]:
    """A worker; its log is in the folder."""
    jars = provide(parse_lock(_LOCK.read_text()), cache_folder() / "debezium", print)
    [port] = free_ports(1)
    properties = folder / "worker.properties"
    properties.write_text(_WORKER.format(servers=bootstrap_servers, port=port, folder=folder))
    program = "org.apache.kafka.connect.cli.ConnectStandalone"
    command = (find_java().binary, "-Xmx400m", "-cp", ":".join(map(str, jars)), program, properties)
    with (folder / "connect.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            worker = Connect(port)
            eventually(worker.answers, within=120, every=0.5)
            yield worker
        finally:
            process.kill()
