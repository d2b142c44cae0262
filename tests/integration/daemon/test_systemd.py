"""What systemd would hear, on a real datagram socket."""

import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest

from tests.integration.running import process
from tests.waiting import eventually
from txbox.daemon import Database, Health, Kafka, Stop, notifying

#: a notice is a dictionary; what is said several times in it would be a fault
Notice = dict[str, str]


class Systemd:
    """The socket, and what came by it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.settimeout(20)

    def next(self) -> Notice:
        """The next notice."""
        lines = [line.split("=", 1) for line in self._socket.recv(65536).decode().split("\n")]
        notice = dict(lines)
        assert len(notice) == len(lines)
        return notice

    def hears(self, wanted: Callable[[Notice], bool]) -> Notice:
        """The first notice from now on that is as wanted."""
        heard: list[Notice] = []
        eventually(lambda: heard.append(self.next()) or wanted(heard[-1]))  # type: ignore[func-returns-value]
        return heard[-1]

    def fill(self) -> None:
        """Leave no room for another notice."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other, suppress(BlockingIOError):
            other.setblocking(False)
            while True:
                other.sendto(b"STATUS=", self._socket.getsockname())

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["in a folder", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Systemd]:
    if request.param == "abstract" and not Path("/proc").exists():
        pytest.skip("abstract sockets are Linux's")
    there = Systemd(f"@txbox-{uuid4().hex}" if request.param == "abstract" else str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", there.address)
    monkeypatch.setenv("WATCHDOG_USEC", "40000")
    yield there
    there.close()


def test_ready_is_said_when_it_is_and_more_time_is_asked_for_until_then(systemd: Systemd) -> None:
    health = Health("database", role="standby")
    with notifying(health, Stop()):
        health.set("database", False, "refused\nby 127.0.0.1")
        waiting = systemd.hears(lambda notice: "refused" in notice["STATUS"])
        assert waiting["STATUS"] == "standby; database: refused by 127.0.0.1"
        assert "READY" not in waiting
        assert int(waiting["EXTEND_TIMEOUT_USEC"]) > 10**7
        health.set("database", True)
        ready = systemd.hears(lambda notice: notice.get("READY") == "1")
        assert ready["STATUS"] == "standby"
        assert "EXTEND_TIMEOUT_USEC" not in ready
        health.set("database", False, "gone")
        assert "EXTEND_TIMEOUT_USEC" not in systemd.hears(lambda notice: "gone" in notice["STATUS"])


def test_the_watchdog_hears_what_livez_says(systemd: Systemd) -> None:
    clock = [0.0]
    health = Health(role="leader", clock=lambda: clock[0])
    with notifying(health, Stop()):
        assert systemd.next()["WATCHDOG"] == "1"
        clock[0] = 61
        systemd.hears(lambda notice: "WATCHDOG" not in notice)
        assert "WATCHDOG" not in systemd.next()
        health.beat()
        systemd.hears(lambda notice: notice.get("WATCHDOG") == "1")


def test_a_stuck_start_asks_for_no_more_time(systemd: Systemd) -> None:
    clock = [0.0]
    health = Health("database", role="standby", clock=lambda: clock[0])
    with notifying(health, Stop()):
        systemd.next()
        clock[0] = 61
        stuck = systemd.hears(lambda notice: "WATCHDOG" not in notice)
        assert "EXTEND_TIMEOUT_USEC" not in stuck


def test_a_stop_is_told_at_once_and_the_watchdog_is_fed_until_it_ends(systemd: Systemd) -> None:
    health, stop = Health(role="leader"), Stop()
    with notifying(health, stop):
        assert systemd.next()["READY"] == "1"
        stop.request()
        stopping = systemd.hears(lambda notice: notice.get("STOPPING") == "1")
        assert stopping["WATCHDOG"] == "1"
        assert "READY" not in stopping


def test_an_end_by_an_error_is_told_too(systemd: Systemd) -> None:
    with pytest.raises(ZeroDivisionError), notifying(Health(role="leader"), Stop()):
        _ = 1 / 0
    systemd.hears(lambda notice: notice == {"STOPPING": "1"})


def test_a_systemd_that_takes_nothing_holds_nobody_up(systemd: Systemd) -> None:
    systemd.fill()
    with notifying(Health(role="leader"), Stop()):
        pass
    systemd.close()
    with notifying(Health(role="leader"), Stop()):
        pass


def test_without_systemd_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    with notifying(Health(role="leader"), Stop()):
        pass


@pytest.mark.parametrize("systemd", ["abstract"], indirect=True)
def test_a_relay_is_ready_when_it_leads_and_its_successor_when_it_stands_by(
    systemd: Systemd, database: Database, kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TXBOX_DATABASE__URL", database.url)
    monkeypatch.setenv("TXBOX_KAFKA__BOOTSTRAP_SERVERS", kafka.bootstrap_servers)
    with process("txbox.cli", "relay", "run", "--http-port", "0") as leader:
        systemd.hears(lambda notice: notice.get("READY") == "1" and notice["STATUS"] == "leader")
        with process("txbox.cli", "relay", "run", "--http-port", "0") as standby:
            systemd.hears(lambda notice: notice.get("READY") == "1" and notice["STATUS"] == "standby")
            standby.popen.terminate()
            systemd.hears(lambda notice: notice == {"STOPPING": "1"})
            assert standby.ended() == 0
        leader.popen.terminate()
        systemd.hears(lambda notice: notice == {"STOPPING": "1"})
        assert leader.ended() == 0
