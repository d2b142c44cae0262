"""What people read who ask for Docker where there is none."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.integration.running import process
from txbox.cli.main import txbox


def test_an_engine_that_is_not_there_is_an_error_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    with process("txbox.cli", "sandbox", "up", "--with", "docker", "--dir", str(tmp_path / "sandbox")) as up:
        assert up.ended() == 1
        assert "no Docker: no engine answers" in up.log
        assert "--with wheels" in up.log


def test_what_only_processes_have_is_refused() -> None:
    result = CliRunner().invoke(txbox, ["sandbox", "up", "--with", "docker", "--brokers", "3"])
    assert result.exit_code == 2
    assert "without Docker" in result.output
