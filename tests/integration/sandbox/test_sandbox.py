"""Up, down and up again; whatever was killed in between is mended."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # re-exported without saying so

from txbox.cli.sandbox import sandbox as command
from txbox.sandbox import (
    AlreadyUp,
    NoPostgres,
    PortTaken,
    Postgres,
    Sandbox,
    Servers,
    StartFailed,
    Unreachable,
    WrongData,
)
from txbox.sandbox.processes import Identity, eventually, start_time
from txbox.sandbox.servers import free_ports, settle_ports

from .conftest import new_open_folder

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")


@pytest.fixture(scope="module")
def running() -> Iterator[Path]:
    """The folder of a sandbox that the command line has left running."""
    with new_open_folder() as folder:
        assert txbox_sandbox("up", folder).exit_code == 0
        yield folder
        Sandbox(folder).down()


def txbox_sandbox(verb: str, folder: Path, *options: str) -> Result:
    return CliRunner().invoke(command, [verb, "--dir", str(folder), *options])


def test_servers_outlive_the_command_and_are_found_by_their_folder(running: Path):
    told = Servers.from_json(txbox_sandbox("status", running, "-o", "json").stdout)
    assert told == Sandbox(running).status() == Servers.from_json((running / "state.json").read_text())
    assert all(start_time(pid) for pid in told.pids.values())


def test_up_on_a_live_folder_says_so(running: Path):
    with pytest.raises(AlreadyUp) as already:
        Sandbox(running).up()
    assert already.value.servers == Sandbox(running).status()
    assert txbox_sandbox("up", running).exit_code == 0


def test_the_second_up_is_fast_and_finds_data_and_ports_again(running: Path):
    first = Sandbox(running).servers()
    with psycopg.connect(first.database_url) as connection:
        connection.execute("CREATE TABLE kept (id int)")
    Sandbox(running).down()
    assert not any(start_time(pid) for pid in first.pids.values())

    began = time.monotonic()
    second = Sandbox(running).up()
    assert time.monotonic() - began < 10
    assert (second.database_url, second.bootstrap_servers) == (first.database_url, first.bootstrap_servers)
    with psycopg.connect(second.database_url) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_reset_wipes_the_data_and_nothing_is_up(home: Path):
    Postgres(home / "postgres").prepare(*free_ports(1))
    assert txbox_sandbox("reset", home).exit_code == 0
    assert not (home / "postgres").exists()
    assert txbox_sandbox("status", home).exit_code == 3  # unhealthy


def test_an_up_killed_half_way_is_mended_by_the_next(home: Path):
    killed = start_and_kill(f"Sandbox(Path({str(home)!r})).up()", home)
    with Sandbox(home) as servers:
        assert not killed.alive()
        assert set(servers.pids) == {"postgres", "kafka-0"}


def test_what_a_killed_owner_of_a_temporary_sandbox_left_is_cleared_away(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(open_folder))
    killed = start_and_kill(f"tempfile.tempdir = {str(open_folder)!r}; Sandbox().up()", open_folder, "txbox-sandbox-*/")
    Sandbox()
    assert not killed.alive()
    assert not list(open_folder.glob("txbox-sandbox-*"))


def start_and_kill(program: str, folder: Path, below: str = "") -> Identity:
    """Run `program` until it has started PostgreSQL somewhere below `folder`, kill it, and return that server."""
    imports = "import tempfile\nfrom pathlib import Path\nfrom txbox.sandbox import Sandbox\n"
    with subprocess.Popen([sys.executable, "-c", imports + program]) as process:
        assert eventually(lambda: any(folder.glob(f"{below}postgres/process.json")), 30)
        process.send_signal(signal.SIGKILL)
    [file] = folder.glob(f"{below}postgres/process.json")
    server = Identity.read(file)
    assert server is not None
    assert server.alive()
    return server


def test_a_failed_up_leaves_nothing_running(home: Path, open_folder: Path):
    fake = open_folder / "bin"
    fake.mkdir()
    (fake / "postgres").symlink_to(Postgres(home).program("postgres"))
    (fake / "initdb").write_text("#!/bin/sh\necho no room >&2; exit 1\n")
    (fake / "initdb").chmod(0o755)
    sandbox = Sandbox(home, postgres=fake)
    with pytest.raises(StartFailed, match=r"initdb failed with code 1[\s\S]*no room"):
        sandbox.up()
    assert sandbox.status() is None
    assert sandbox.kafka.brokers[0].process.pid is None


def test_a_folder_without_postgres_is_told_at_once(home: Path):
    with pytest.raises(NoPostgres, match="/nowhere/postgres"):
        Sandbox(home, postgres=Path("/nowhere")).up()


def test_a_taken_port_is_told_where_the_server_must_keep_it(open_folder: Path):
    postgres = Postgres(open_folder / "postgres")
    [port] = free_ports(1)
    postgres.prepare(port)
    with socket.create_server(("127.0.0.1", port)), pytest.raises(PortTaken, match=str(port)):
        postgres.start()


def test_a_taken_port_is_replaced_and_a_free_one_kept():
    taken, free = free_ports(2)
    with socket.create_server(("127.0.0.1", taken)):
        other, same, new = settle_ports([taken, free, None])
    assert same == free
    assert len({taken, other, same, new}) == 4


@pytest.mark.skipif(not DEBIAN_15.exists(), reason="needs PostgreSQL 15: apt-get install postgresql-15")
def test_another_postgres_runs_and_its_data_is_not_mixed_up(open_folder: Path):
    older = Postgres(open_folder / "postgres", DEBIAN_15)
    [port] = free_ports(1)
    older.prepare(port)
    older.start()
    try:
        with psycopg.connect(older.url) as connection:
            assert connection.info.server_version // 10_000 == 15
    finally:
        older.stop()
    with pytest.raises(WrongData, match="belongs to PostgreSQL 15"):
        Postgres(open_folder / "postgres").prepare(port)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another user for PostgreSQL")
def test_root_is_told_which_folder_is_closed(open_folder: Path):
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(Unreachable, match=f"chmod o.x {closed}"):
        Postgres(closed / "postgres").prepare(1)


def test_three_brokers_outlive_the_loss_of_one(open_folder: Path):
    sandbox = Sandbox(open_folder / "three", brokers=3)
    with sandbox as servers:
        client: dict[str, str | int | float | bool] = {"bootstrap.servers": servers.bootstrap_servers}
        admin = AdminClient(client)
        admin.create_topics([NewTopic("kept", 3)])["kept"].result(30)
        sandbox.kafka.kill(1)
        producer = Producer(client | {"acks": "all"})
        for number in range(30):
            producer.produce("kept", str(number))
        assert producer.flush(30) == 0
        for broker in sandbox.kafka.brokers:
            broker.kill()  # nothing here is worth an orderly end
    shutil.rmtree(sandbox.dir)
