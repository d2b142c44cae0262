"""Hundreds of kills in one run: the demonstration's own verdict, for half an hour."""

import subprocess
import sys


def test_hundreds_of_kills_lose_repeat_and_reorder_nothing():
    command = [sys.executable, "-m", "txbox.cli", "demo", "crash-recovery", "--kills", "500", "--seconds", "1500"]
    assert subprocess.run(command, timeout=3600).returncode == 0
