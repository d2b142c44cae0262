"""The sandbox in containers: what `txbox sandbox up --with docker` and TXBOX_SANDBOX=docker do."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner

from tests.engine.stack import ROOT, NoEngine, Stack, docker
from tests.integration.running import process
from tests.waiting import eventually
from txbox.cli.main import txbox
from txbox.sandbox import Containers


@pytest.fixture(autouse=True)
def _engine() -> None:
    try:
        Stack()
    except NoEngine as error:
        pytest.skip(str(error))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "sandbox"
    Containers(tmp_path / "sandbox").reset()


def run(*arguments: str, exit_code: int = 0) -> str:
    result = CliRunner().invoke(txbox, arguments, env={"TXBOX_SANDBOX": ""})
    assert result.exit_code == exit_code, result.output
    return result.stdout


def test_down_keeps_the_data_and_reset_does_not(folder: Path) -> None:
    up = ("sandbox", "up", "--dir", str(folder), "-o", "json")
    first = json.loads(run(*up, "--with", "docker"))
    with psycopg.connect(first["database_url"], autocommit=True) as conn:
        conn.execute("CREATE TABLE kept ()")
        assert conn.execute("SHOW wal_level").fetchone() == ("logical",)
    assert json.loads(run("sandbox", "status", "--dir", str(folder), "-o", "json")) == first
    run("sandbox", "down", "--dir", str(folder))
    run("sandbox", "status", "--dir", str(folder), exit_code=3)
    assert json.loads(run(*up)) == first  # the folder knows that they are in Docker; the ports are those of before
    with psycopg.connect(first["database_url"]) as conn:
        conn.execute("SELECT FROM kept")
    run("sandbox", "reset", "--dir", str(folder))
    assert _labelled(str(folder)) == ""
    run("sandbox", "status", "--dir", str(folder), exit_code=3)


def test_only_this_machine_can_reach_them() -> None:
    with Containers():
        ports = docker("ps", "--filter", "label=txbox.sandbox.owner", "--format", "{{.Ports}}")
    published = [one for one in ports.replace("\n", ", ").split(", ") if "->" in one]
    assert len(published) == 2
    assert all(one.startswith("127.0.0.1:") for one in published)


def test_what_a_killed_process_leaves_is_cleared_away_by_the_next() -> None:
    with process("tests.engine.left_behind") as killed:
        eventually(lambda: "up as" in killed.log, within=120)
        name = killed.log.split("up as ")[1].split()[0]
    assert len(_labelled(name).split()) == 2
    with Containers():
        assert _labelled(name) == ""


def test_the_fixtures_take_containers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TXBOX_SANDBOX", "docker")
    some = ["tests/integration/outbox/test_lock_keys.py", "tests/integration/relay/test_publisher.py"]
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *some]
    done = subprocess.run(tests, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout
    assert docker("ps", "--all", "--quiet", "--filter", "label=txbox.sandbox.owner") == ""


def test_the_demonstration_runs_on_containers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TXBOX_SANDBOX", "docker")
    demo = [sys.executable, "-m", "txbox.cli", "demo", "crash-recovery", "--kills", "4", "--seconds", "12"]
    done = subprocess.run(demo, capture_output=True, text=True, timeout=300)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert docker("ps", "--all", "--quiet", "--filter", "label=txbox.sandbox.owner") == ""


def _labelled(name: str) -> str:
    return docker("ps", "--all", "--quiet", "--filter", f"label=txbox.sandbox={name}")
