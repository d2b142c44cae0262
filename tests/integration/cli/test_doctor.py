"""`txbox doctor` as people run it: its table, its JSON, its exit code, and typos in what is set."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from txbox.cli.main import txbox
from txbox.daemon import Database, Kafka

Run = Callable[..., Result]


@pytest.fixture
def run(database: Database, kafka: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `txbox ...` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    where = {"DATABASE_URL": database.url, "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers}
    return lambda *args, **env: CliRunner().invoke(txbox, args, env=where | env)


def test_what_is_well_ends_with_0(run: Run, topic: str) -> None:
    done = run("doctor", topic, "-o", "json")
    assert done.exit_code == 0, done.output
    found = {row["check"]: row for row in json.loads(done.stdout)}
    assert list(found)[:4] == ["config", "database", "session", "schema"]
    assert found["topics"] == {"check": "topics", "state": "ok", "why": f"1 there: {topic}", "mend": None}


def test_what_fails_ends_with_3_and_is_told_with_its_mend(run: Run, topic: str) -> None:
    done = run("doctor", topic, f"{topic}.none")
    assert done.exit_code == 3
    assert f"not there: '{topic}.none'" in done.stdout
    assert "mend: kafka-topics --create" in done.stdout
    assert "failed: topics" in done.stderr


def test_without_servers_it_says_what_to_set(run: Run) -> None:
    done = run("doctor", "-o", "json", DATABASE_URL="", KAFKA_BOOTSTRAP_SERVERS="")
    assert done.exit_code == 3
    found = {row["check"]: row for row in json.loads(done.stdout)}
    assert "give --database-url" in found["database"]["why"]
    assert "give --bootstrap-servers" in found["kafka"]["why"]


def test_a_typo_in_the_file(run: Run) -> None:
    Path("txbox.toml").write_text("[relay]\nretension = '7d'\n")
    done = run("doctor", "-o", "json")
    config = json.loads(done.stdout)[0]
    assert (done.exit_code, config["state"]) == (3, "fail")
    assert "unknown setting 'relay.retension', did you mean 'relay.retention'?" in config["why"]
    assert run("db", "status").exit_code == 2  # as any other command says


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("TXBOX_RELAY_RETENTION", "TXBOX_RELAY__RETENTION"),
        ("TXBOX_RELAY__RETENSION", "TXBOX_RELAY__RETENTION"),
        ("TXBOX_DATABASE__URL_FIEL", "TXBOX_DATABASE__URL_FILE"),
        ("TXBOX_FAILPIONT", "TXBOX_FAILPOINT"),
    ],
)
def test_a_typo_in_the_environment(run: Run, name: str, meant: str) -> None:
    done = run("doctor", "-o", "json", **{name: "7d"})
    config = json.loads(done.stdout)[0]
    assert (done.exit_code, config["state"]) == (3, "fail")
    assert f"{name} is no setting, did you mean {meant!r}?" in config["why"]


def test_a_password_is_never_told(run: Run, database: Database) -> None:
    url = database.url.replace("postgres@", "nobody:geheim@")
    done = run("doctor", DATABASE_URL=url)
    assert done.exit_code == 3
    assert "geheim" not in done.output
