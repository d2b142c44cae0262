"""The units on a real systemd: one that is process 1 of a container."""

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka.admin import AdminClient

from tests.engine.stack import NoEngine, Stack, docker
from tests.integration.topics import Topics
from tests.waiting import eventually
from txbox.daemon import Database, Kafka
from txbox.demo.shop import TOPIC
from txbox.sandbox import Sandbox

ROOT = Path(__file__).parent.parent.parent
UNITS = ROOT / "deploy" / "systemd"
RELAY, BILLING = "txbox-relay", "txbox-consume@billing"
#: what systemd needs of the engine, and what a machine's systemd has anyway
RIGHTS = (
    *(
        "--cap-add",
        "SYS_ADMIN",
        "--cap-add",
        "SYS_PTRACE",
        "--security-opt",
        "seccomp=unconfined",
        "--security-opt",
        "apparmor=unconfined",
    ),
    *("--volume", "/sys/fs/cgroup:/sys/fs/cgroup:ro", "--cgroupns", "private", "--tmpfs", "/run", "--tmpfs", "/tmp"),
)


class Machine:
    """A container in which systemd runs, and reaches this machine's loopback."""

    def __init__(self) -> None:
        self.name = f"txbox-machine-{uuid4().hex[:8]}"
        docker("run", "--detach", "--name", self.name, "--network", "host", *RIGHTS, "txbox-engine/systemd")

    def run(self, *command: str, ok: tuple[int, ...] = (0,)) -> str:
        return docker("exec", self.name, *command, ok=ok)

    def write(self, path: str, text: str, mode: str = "644") -> None:
        """Make a file, as somebody who installs it."""
        self.run("python", "-c", f"from pathlib import Path; Path({path!r}).write_text({text!r})")
        self.run("chmod", mode, path)

    def start(self, unit: str) -> None:
        """Start a unit; return when it is ready."""
        self.run("systemctl", "start", unit, ok=(0, 1))
        assert self.show(unit, "ActiveState") == "active", self.run("journalctl", "--unit", unit)

    def show(self, unit: str, name: str) -> str:
        """One property of a unit."""
        return self.run("systemctl", "show", unit, "--property", name, "--value").strip()

    def is_so(self, unit: str, name: str, wanted: Callable[[str], bool]) -> None:
        """Return when the property is as wanted."""
        eventually(lambda: wanted(self.show(unit, name)), within=90, every=0.2)


@pytest.fixture(scope="module")
def image() -> None:
    try:
        stack = Stack()
    except NoEngine as error:
        pytest.skip(str(error))
    stack.compose("build", "migrate-orders", within=580)
    docker("build", "--tag", "txbox-engine/systemd", str(ROOT / "tests/engine/images/systemd"), within=300)


@pytest.fixture
def machine(image: None, database: Database, kafka: Kafka) -> Iterator[Machine]:
    machine = Machine()
    try:
        eventually(lambda: machine.run("systemctl", "is-system-running", ok=(0, 1)).strip() == "running", within=60)
        for unit in UNITS.iterdir():
            machine.write(f"/etc/systemd/system/{unit.name}", unit.read_text())
        machine.write("/etc/txbox/txbox.toml", f'[kafka]\nbootstrap_servers = "{kafka.bootstrap_servers}"\n')
        machine.write("/etc/txbox/relay.env", "TXBOX_HTTP__PORT=0\n")
        machine.write("/etc/txbox/billing.env", "APP=txbox.demo.billing:consumer\nTXBOX_HTTP__PORT=0\n")
        machine.write("/etc/txbox/database-url", f"{database.url}\n", "600")
        machine.write("/etc/txbox/billing-database-url", f"{database.url}\n", "600")
        machine.run("systemctl", "daemon-reload")
        yield machine
    finally:
        docker("rm", "--force", machine.name)


def test_the_relay_leads_under_all_that_is_forbidden_to_it(machine: Machine, database: Database) -> None:
    machine.start(RELAY)
    assert machine.show(RELAY, "StatusText") == "leader"
    pid = machine.show(RELAY, "MainPID")
    assert machine.run("stat", "--format", "%u", f"/proc/{pid}") != "0\n"
    told = machine.run("cat", f"/proc/{pid}/environ", f"/proc/{pid}/cmdline")
    told += machine.run("systemctl", "show", RELAY) + machine.run("journalctl", "--unit", RELAY)
    assert database.url not in told
    machine.run("systemctl", "stop", RELAY)
    assert machine.show(RELAY, "Result") == "success"


def test_a_relay_that_is_stuck_is_ended_and_started_again(machine: Machine) -> None:
    machine.run("mkdir", f"/etc/systemd/system/{RELAY}.service.d")
    machine.write(f"/etc/systemd/system/{RELAY}.service.d/soon.conf", "[Service]\nWatchdogSec=3s\n")
    machine.run("systemctl", "daemon-reload")
    machine.start(RELAY)
    machine.run("systemctl", "kill", "--kill-whom", "main", "--signal", "STOP", RELAY)
    machine.is_so(RELAY, "NRestarts", lambda restarts: restarts != "0")
    machine.is_so(RELAY, "ActiveState", "active".__eq__)
    assert "Watchdog timeout" in machine.run("journalctl", "--unit", RELAY)


def test_a_start_waits_for_a_database_that_is_late(machine: Machine, txbox_sandbox: Sandbox | None) -> None:
    if txbox_sandbox is None:
        pytest.skip("the servers are not ours to stop")
    machine.run("mkdir", f"/etc/systemd/system/{RELAY}.service.d")
    machine.write(f"/etc/systemd/system/{RELAY}.service.d/soon.conf", "[Service]\nTimeoutStartSec=4s\n")
    machine.run("systemctl", "daemon-reload")
    txbox_sandbox.postgres.stop()
    try:
        machine.run("systemctl", "start", "--no-block", RELAY)
        machine.is_so(RELAY, "StatusText", lambda status: "database" in status and "refused" in status)
        began = int(machine.show(RELAY, "ExecMainStartTimestampMonotonic"))
        now = "import time; print(time.monotonic_ns() // 1000)"
        eventually(lambda: int(machine.run("python", "-c", now)) - began > 8_000_000, within=60, every=0.5)
        assert machine.show(RELAY, "ActiveState") == "activating"
    finally:
        txbox_sandbox.postgres.start()
    machine.is_so(RELAY, "ActiveState", "active".__eq__)
    assert machine.show(RELAY, "NRestarts") == "0"


def test_a_consumer_is_ready_when_it_has_its_topics(machine: Machine, kafka: Kafka) -> None:
    machine.run("systemctl", "start", "--no-block", BILLING)
    machine.is_so(BILLING, "StatusText", lambda status: "topic orders" in status)
    assert machine.show(BILLING, "ActiveState") == "activating"
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})
    Topics(admin, kafka.bootstrap_servers, TOPIC).make()
    machine.is_so(BILLING, "ActiveState", "active".__eq__)
