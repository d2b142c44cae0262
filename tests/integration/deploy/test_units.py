"""The systemd units and Prometheus' settings, as their own programs read them."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.deploy.tools import program

DEPLOY = Path(__file__).parent.parent.parent.parent / "deploy"
UNITS = sorted((DEPLOY / "systemd").iterdir())
#: tenths of systemd's measure of exposure, from 0 to 100; below 20 it says OK
EXPOSED = 15


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.fixture(params=UNITS, ids=lambda unit: unit.name)
def unit(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A unit that finds its program in this environment, under an instance's name where it is a template."""
    text = request.param.read_text().replace("/opt/txbox", sys.prefix).replace("/opt/%i", sys.prefix)
    file = tmp_path / str(request.param.name).replace("@", "@billing")
    (tmp_path / request.param.name).write_text(text)
    return file


def test_systemd_takes_it(unit: Path) -> None:
    done = run(program("systemd-analyze"), "verify", unit)
    assert (done.returncode, done.stderr) == (0, "")


def test_it_is_exposed_to_little(unit: Path) -> None:
    analyze = program("systemd-analyze")
    done = run(analyze, "security", "--offline=yes", f"--threshold={EXPOSED}", "--no-pager", unit)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_its_settings() -> None:
    done = run(program("promtool"), "check", "config", DEPLOY / "prometheus/prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr
