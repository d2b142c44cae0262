"""The demonstrations as people run them: as commands, on servers of their own, judged by their exit codes."""

import os
import re
import subprocess
import sys

import pytest


def demo(*args: str) -> subprocess.CompletedProcess[str]:
    """Run `txbox demo ...` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "txbox.cli", "demo", *args],
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "NO_COLOR": "1"},
    )


def figure(output: str, name: str) -> int:
    """A line of the verdict table."""
    found = re.search(rf"^ *{name} +([\d,]+)", output, re.MULTILINE)
    assert found, output
    return int(found[1].replace(",", ""))


def test_nothing_is_lost_repeated_or_reordered_when_every_failpoint_kills():
    done = demo("crash-recovery", "--kills", "10", "--seconds", "15", "--seed", "7")
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("lost", "ghosts", "out of order", "double effects"):
        assert figure(done.stdout, name) == 0
    assert figure(done.stdout, "processes killed") == 10
    assert figure(done.stdout, "orders committed") > 100
    assert "conserved" in done.stdout
    assert len(set(re.findall(r"kill -9 .* at (\S+)", done.stdout))) == 9
    # Payments failed, on one day all of them; a stranger's message and an order were dead until a person came.
    assert "billing has noticed" in done.stdout
    assert figure(done.stdout, "dead") == 2
    assert figure(done.stdout, "released") == figure(done.stdout, "held") - 1
    assert re.search(r"\$ txbox held retry .*\n.*\$ txbox held discard ", done.stdout)


def test_without_an_inbox_the_same_kills_charge_twice_and_the_verdict_says_so():
    done = demo("crash-recovery", "--kills", "8", "--seconds", "12", "--seed", "7", "--no-dedupe")
    assert done.returncode == 1, done.stdout + done.stderr
    assert figure(done.stdout, "double effects") > 0
    assert figure(done.stdout, "lost") == 0
    assert figure(done.stdout, "dead") == 0, "it fails for its double effects alone"
    assert "NOT conserved" in done.stdout


def test_a_message_that_is_sent_ten_times_is_charged_once():
    done = demo("duplicates")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (figure(done.stdout, "charges"), figure(done.stdout, "already processed")) == (1, 9)


@pytest.mark.parametrize("args", [("crash-recovery", "--kills", "-1"), ("crash-recovery", "--seconds", "soon")])
def test_a_mistake_ends_before_anything_is_started(args: tuple[str, ...]):
    assert demo(*args).returncode == 2
