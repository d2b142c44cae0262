"""Signals, failpoints and the log of real processes."""

import json
import os
import signal
from pathlib import Path

import pytest

from tests.integration.daemon import processes
from tests.integration.running import Process, process
from tests.waiting import eventually

MODULE = processes.__name__


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_asks_for_a_stop_and_a_second_one_for_one_now(number: signal.Signals) -> None:
    with process(MODULE, "stop") as daemon:
        daemon.said("ready")
        daemon.popen.send_signal(number)
        daemon.said("asked")
        assert "now" not in daemon.log
        daemon.popen.send_signal(number)
        assert daemon.ended() == 0
        assert daemon.log.split() == ["ready", "asked", "now"]


def test_a_failpoint_kills(monkeypatch: pytest.MonkeyPatch) -> None:
    with process(MODULE, "points", failpoint="relay.acked:kill:2") as one:
        assert one.ended() == -signal.SIGKILL
        assert "armed" in one.log
        assert "turn 2" in one.log
        assert "turn 3" not in one.log


def test_a_failpoint_stops_until_told_to_go_on() -> None:
    with process(MODULE, "points", failpoint="relay.acked:stop") as one:
        eventually(lambda: _state(one) == "T")
        assert "turn 2" not in one.log
        one.popen.send_signal(signal.SIGCONT)
        assert one.ended() == 0
        assert "end" in one.log


def test_a_failpoint_raises() -> None:
    with process(MODULE, "points", failpoint="relay.acked:raise:3") as one:
        assert one.ended() == 1
        assert "Failed: failpoint relay.acked" in one.log


def test_a_point_that_is_not_passed_does_nothing() -> None:
    with process(MODULE, "points", failpoint="relay.saved:kill") as one:
        assert one.ended() == 0


def test_an_unknown_point_is_told_and_ends_the_process() -> None:
    with process(MODULE, "points", failpoint="relay.nowhere:kill") as one:
        assert one.ended() == 1
        assert "UnknownFailpoint" in one.log
        assert "relay.acked" in one.log


def test_without_the_switch_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TXBOX_FAILPOINT", "relay.acked:kill")
    with process(MODULE, "points") as one:
        assert one.ended() == 0
        assert one.log.split() == ["turn", "1", "turn", "2", "turn", "3", "end"]


def test_the_log_is_one_json_object_a_line() -> None:
    with process(MODULE, "log") as one:
        assert one.ended() == 0
        happened, failed = map(json.loads, one.log.splitlines())
    assert {
        "event": "something happened",
        "level": "info",
        "logger": "txbox.test",
        "topic": "orders",
        "count": 3,
    }.items() <= (happened.items())
    assert happened["timestamp"].endswith("Z")
    assert "ZeroDivisionError" in failed["exception"]


def _state(one: Process) -> str:
    """A process's state as /proc tells it; "T" where there is no /proc."""
    stat = Path(f"/proc/{one.popen.pid}/stat")
    if not stat.exists():
        return "T" if os.waitpid(one.popen.pid, os.WUNTRACED | os.WNOHANG)[0] else ""
    return stat.read_text().rpartition(")")[2].split()[0]


def test_what_a_producer_put_into_a_type_or_key_steers_no_terminal_and_forges_no_line() -> None:
    with process(MODULE, "strange") as daemon:
        assert daemon.ended() == 0
        assert "\x1b" not in daemon.log
        assert "\\x1b[31mred" in daemon.log
        assert len(daemon.log.splitlines()) == 1
