"""Only the process that was started is ever signalled, and it is on file before it does anything."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from txbox.sandbox import StartFailed
from txbox.sandbox.processes import Identity, ServerProcess, eventually, start_time


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    server = ServerProcess("sleeper", tmp_path / "process.json", tmp_path / "log")
    yield server
    server.kill()


def test_a_server_is_found_by_its_file(server: ServerProcess):
    server.start(["sleep", "60"], cwd=Path("/"))
    another = ServerProcess("sleeper", server.file, server.log)
    assert another.pid == server.pid is not None
    assert another.stop(signal.SIGTERM, limit=10)
    assert server.pid is None


def test_a_server_has_a_session_of_its_own(server: ServerProcess):
    server.start(["sleep", "60"], cwd=Path("/"))
    assert server.pid is not None
    assert os.getsid(server.pid) == server.pid != os.getsid(0)


def test_a_pid_that_another_process_has_by_now_is_left_alone(server: ServerProcess):
    with subprocess.Popen(["sleep", "60"]) as stranger:
        Identity(pid=stranger.pid, started="long ago").write(server.file)
        assert server.pid is None
        server.kill()
        assert start_time(stranger.pid) is not None
        stranger.kill()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}'])
def test_a_damaged_file_names_nobody(server: ServerProcess, text: str):
    server.file.write_text(text)
    assert server.pid is None
    server.kill()


def test_a_server_that_ignores_us_is_killed_at_the_limit(server: ServerProcess):
    server.start(["sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 1; done"], cwd=Path("/"))
    assert eventually(lambda: "deaf" in server.log_tail(), 10)
    assert not server.stop(signal.SIGTERM, limit=0.1)
    assert server.pid is None


def test_a_server_that_ends_at_once_is_told_with_its_log(server: ServerProcess):
    server.start(["sh", "-c", "echo no room; exit 3"], cwd=Path("/"))
    with pytest.raises(StartFailed, match=r"the process ended[\s\S]*no room"):
        server.wait_ready(lambda: False, 10)


def test_no_server_runs_when_the_starter_dies_before_it_is_on_file(tmp_path: Path):
    started = tmp_path / "started"
    starter = f"""
import os
from pathlib import Path
from txbox.sandbox.processes import Identity, ServerProcess
Identity.write = lambda self, file: os._exit(9)
ServerProcess("s", Path("{tmp_path}/process.json"), Path("{tmp_path}/log")).start(["touch", "{started}"], cwd=Path("/"))
"""
    # the pipe stays open as long as anyone lives who has inherited it: its end says that the gate has closed too
    with subprocess.Popen([sys.executable, "-c", starter], stderr=subprocess.PIPE) as process:
        assert process.communicate(timeout=10)
    assert process.returncode == 9
    assert not started.exists()
