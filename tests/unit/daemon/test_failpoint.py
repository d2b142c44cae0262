"""Failpoints: what arms them, and that each has its place in the code."""

import re
import sys
from pathlib import Path

import pytest

from txbox.daemon import POINTS, Failed, UnknownFailpoint, failpoint
from txbox.daemon.failpoint import _Armed

ROOT = Path(__file__).parent.parent.parent.parent
CALL = re.compile(r"\bfailpoint\(([^)]*)\)")


def armed(text: str, switch: str = "1") -> _Armed | None:
    return _Armed.from_env({"TXBOX_FAILPOINTS": switch, "TXBOX_FAILPOINT": text})


@pytest.mark.parametrize(
    ("text", "action", "left"),
    [("relay.read:kill", "kill", 1), ("relay.acked:raise:3", "raise", 3), ("consumer.handled:stop:1", "stop", 1)],
)
def test_a_point_an_action_and_perhaps_a_number(text: str, action: str, left: int) -> None:
    point = armed(text)
    assert point is not None
    assert (point.name, point.action, point.left) == (text.partition(":")[0], action, left)


@pytest.mark.parametrize(
    "text",
    [
        "relay.read",
        "relay.read:",
        "relay.read:explode",
        "nowhere:kill",
        "relay.read:kill:x",
        "relay.read:kill:-1",
        ":kill",
        "x",
    ],
)
def test_what_names_none_of_ours_is_an_error(text: str) -> None:
    with pytest.raises(UnknownFailpoint, match="name:action"):
        armed(text)


@pytest.mark.parametrize(
    ("text", "switch"), [("relay.read:kill", ""), ("relay.read:kill", "0"), ("", "1"), ("nonsense", "")]
)
def test_without_both_variables_nothing_is_armed(text: str, switch: str) -> None:
    assert armed(text, switch) is None


def test_it_acts_the_time_that_was_asked_for_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[_Armed.__module__], "_armed", armed("relay.read:raise:2"))
    failpoint("relay.read")
    failpoint("relay.saved")
    with pytest.raises(Failed, match=r"relay\.read"):
        failpoint("relay.read")
    failpoint("relay.read")


def test_every_point_stands_in_the_code_once_and_the_code_names_no_other() -> None:
    sources = [path for room in ("relay", "consumer") for path in (ROOT / room / "txbox" / room).glob("*.py")]
    named = [argument for path in sources for argument in CALL.findall(path.read_text())]
    assert sorted(named) == sorted(f'"{name}"' for name in POINTS)
