"""The commands against real servers: what they print, and how they exit."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from click.testing import CliRunner, Result

from tests.integration.topics import Topics
from txbox.cli.main import txbox
from txbox.daemon import Database, Kafka
from txbox.outbox import Message, Outbox
from txbox.sandbox.servers import free_ports
from txbox.schema.migrations import known

Run = Callable[..., Result]
Daemon = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def env(database: Database, kafka: Kafka) -> dict[str, str]:
    """Where the servers are, for commands."""
    return {"TXBOX_DATABASE__URL": database.url, "TXBOX_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers}


@pytest.fixture
def run(env: dict[str, str]) -> Run:
    """Run `txbox ...` in this process."""
    return lambda *args: CliRunner().invoke(txbox, args, env=env)


@pytest.fixture
def daemon(env: dict[str, str], tmp_path: Path) -> Daemon:
    """Run `txbox ...` as a process in an empty folder, to its end: daemons configure the whole process's log."""
    command = (sys.executable, "-m", "txbox.cli")

    def run(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *args], env={**os.environ, **env}, cwd=tmp_path, capture_output=True, text=True, timeout=60
        )

    return run


def data(result: Result) -> Any:
    """What a command printed as JSON; it must have ended well."""
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_migrate_runs_once_and_status_tells(run: Run, conn: psycopg.Connection):
    conn.execute("DROP SCHEMA txbox CASCADE")
    assert run("db", "status").exit_code == 3
    assert [step["version"] for step in data(run("-o", "json", "db", "migrate"))] == [step.version for step in known()]
    assert data(run("-o", "json", "db", "migrate")) == []
    assert data(run("db", "status", "-o", "json"))[0]["applied_at"]


def test_a_relay_without_tables_says_what_to_run(daemon: Daemon, conn: psycopg.Connection):
    conn.execute("DROP SCHEMA txbox CASCADE")
    done = daemon("relay", "run", "--once")
    assert (done.returncode, "Run: txbox db migrate" in done.stderr) == (1, True)


def test_the_outbox_is_looked_at(run: Run, conn: psycopg.Connection, topic: str):
    with conn.transaction():
        first, second = Outbox().add_many(conn, [Message("Placed", {"n": n}, topic=topic, key=f"k{n}") for n in (1, 2)])
    assert data(run("-o", "json", "outbox", "stats"))["last_seq"] == 2
    assert [row["id"] for row in data(run("-o", "json", "outbox", "list"))] == [str(second), str(first)]
    assert [row["key"] for row in data(run("-o", "json", "outbox", "list", "--key", "k1"))] == ["k1"]
    assert data(run("-o", "json", "outbox", "show", "1")) == data(run("-o", "json", "outbox", "show", str(first)))
    assert '{"n":1}' in run("outbox", "show", "1").stdout
    assert run("outbox", "show", "99").exit_code == 4
    assert run("outbox", "show", str(uuid4())).exit_code == 4


def test_relay_status_is_unhealthy_while_rows_wait_and_nobody_leads(
    run: Run, daemon: Daemon, conn: psycopg.Connection, topics: Topics, topic: str
):
    assert run("relay", "status").exit_code == 3
    assert daemon("relay", "run", "--once").returncode == 0
    assert run("relay", "status").exit_code == 0
    with conn.transaction():
        Outbox().add(conn, Message("Placed", {}, topic=topic))
    waiting = run("relay", "status", "-o", "json")
    assert waiting.exit_code == 3
    assert json.loads(waiting.stdout)[0] | {"pending": 1, "leading": False} == json.loads(waiting.stdout)[0]
    assert daemon("relay", "run", "--once").returncode == 0
    assert data(run("relay", "status", "-o", "json"))[0]["pending"] == 0
    assert len(topics.read(topic)) == 1


@pytest.mark.parametrize(("option", "repeated"), [((), 1), (("--from-start",), 2)], ids=["go on", "from start"])
def test_a_restored_database_is_accepted_by_a_person(
    run: Run,
    daemon: Daemon,
    conn: psycopg.Connection,
    topics: Topics,
    topic: str,
    option: tuple[str, ...],
    repeated: int,
):
    with conn.transaction():
        Outbox().add(conn, Message("Placed", {}, topic=topic))
    assert run("relay", "accept-cluster").exit_code == 4
    assert daemon("relay", "run", "--once").returncode == 0
    conn.execute("UPDATE txbox.relay_cursor SET system_identifier = '1'")
    refused = daemon("relay", "run", "--once")
    assert (refused.returncode, "txbox relay accept-cluster" in refused.stderr) == (1, True)
    assert run("relay", "accept-cluster", *option).exit_code == 0
    assert daemon("relay", "run", "--once").returncode == 0
    assert len(topics.read(topic)) == repeated


APP = """
from txbox.consumer import Consumer
consumer = Consumer({name!r}, topics=[{name!r}])
@consumer.handler()
def handle(conn, message):
    pass
"""


def test_messages_are_consumed_and_the_inbox_and_the_lag_tell(
    run: Run, daemon: Daemon, conn: psycopg.Connection, topic: str, tmp_path: Path
):
    with conn.transaction():
        taken = Outbox().add(conn, Message("Placed", {"n": 1}, topic=topic))
    assert daemon("relay", "run", "--once").returncode == 0
    (tmp_path / "app.py").write_text(APP.format(name=topic))
    assert run("consumers", "lag", topic).exit_code == 4
    assert daemon("consume", "--once", "app:consumer").returncode == 0
    stats = data(run("-o", "json", "inbox", "stats"))[0]
    assert (stats["consumer"], stats["processed"], stats["dead"]) == (topic, 1, 0)
    assert data(run("-o", "json", "inbox", "show", str(taken)))[0]["state"] == "processed"
    assert run("inbox", "show", str(uuid4())).exit_code == 4
    assert [row["lag"] for row in data(run("-o", "json", "consumers", "lag", topic))] == [0]


@pytest.mark.parametrize("command", [("relay", "run"), ("consume", "app:consumer")])
def test_a_broker_that_is_away_is_told_in_a_line(daemon: Daemon, tmp_path: Path, command: tuple[str, ...]):
    (tmp_path / "app.py").write_text(APP.format(name="orders"))
    [port] = free_ports(1)
    done = daemon(*command, "--once", "--bootstrap-servers", f"127.0.0.1:{port}")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    [told] = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert told.startswith("Error: Kafka: ")
    assert str(port) in told


def test_held_messages_are_shown_retried_and_skipped(
    run: Run, daemon: Daemon, conn: psycopg.Connection, topics: Topics
):
    topic = topics.make(max_message_bytes="1000")
    with conn.transaction():
        large, behind, other = Outbox().add_many(
            conn, (Message("T", "x" * size, topic=topic, key=key) for size, key in ((3000, "a"), (1, "a"), (3000, "b")))
        )
    assert daemon("relay", "run", "--once", "--on-undeliverable", "hold").returncode == 0
    shown = data(run("outbox", "held", "-o", "json"))
    assert [(row["id"], row["reason"]) for row in shown] == [
        (str(large), "refused"),
        (str(behind), "follows"),
        (str(other), "refused"),
    ]
    assert [row["key"] for row in data(run("-o", "json", "outbox", "held", "--key", "b"))] == ["b"]
    dry = run("outbox", "retry", "--topic", topic, "--dry-run", "-o", "json")
    assert ([row["id"] for row in data(dry)], "2 messages would be marked" in dry.stderr) == (
        [str(large), str(other)],
        True,
    )
    assert conn.execute("SELECT FROM txbox.audit").rowcount == 0
    assert [row["id"] for row in data(run("-o", "json", "outbox", "skip", str(large)))] == [str(large)]
    assert run("outbox", "retry", "--error", "max.message.bytes", "--key", "b").exit_code == 0
    assert conn.execute("SELECT command FROM txbox.audit ORDER BY at").fetchall() == [
        ("outbox skip",),
        ("outbox retry",),
    ]
    assert daemon("relay", "run", "--once").returncode == 0
    assert topics.ids(topic) == [str(behind)]
    assert [row["attempts"] for row in data(run("-o", "json", "outbox", "held"))] == [1]


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["retry"], 2),
        (["retry", "no-id"], 2),
        (["retry", "7"], 4),
        (["skip", "--key", "a"], 4),
        (["skip", "--topic", "t", "--name", "another"], 4),
    ],
)
def test_wishes_for_nothing_say_so(run: Run, conn: psycopg.Connection, args: list[str], code: int):
    assert run("outbox", *args).exit_code == code
    assert conn.execute("SELECT FROM txbox.audit").rowcount == 0
