"""The database's disk runs full under writers and a relay, and has room again: nothing lost, no ghost, no disorder."""

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from tests.integration.relay import relay_process
from tests.integration.relay.stress_cursors import Seen, Verdict, judge, truth_of
from tests.integration.relay.stress_writer import Journal, prepare_tables
from tests.integration.relay.test_cursor_stress import UNCOVERED
from tests.integration.running import Process, process
from tests.integration.topics import Topics
from tests.waiting import eventually
from txbox.daemon import Kafka
from txbox.sandbox.folders import postgres_account
from txbox.sandbox.postgres import Postgres
from txbox.sandbox.servers import free_ports
from txbox.schema import migrate

WRITERS = 3
MEGABYTE = 1_048_576


class Disk:
    """A small file system in memory."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        path.mkdir()
        self._mount(f"size={size}m")
        self.give_away()

    def give_away(self) -> None:
        """Let the server have all that is on it."""
        if account := postgres_account():
            for path in (self.path, *self.path.rglob("*")):
                os.chown(path, account.uid, account.gid)

    def fill(self, leave: int) -> None:
        """Take all room but so many bytes."""
        free = os.statvfs(self.path)
        with (self.path / "ballast").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(free.f_bavail * free.f_bsize - leave, 1))

    def free(self) -> None:
        """Give the room back."""
        (self.path / "ballast").unlink()

    def grow(self, size: int) -> None:
        self._mount(f"remount,size={size}m")

    def close(self) -> None:
        subprocess.run(["umount", "--lazy", self.path], check=False)

    def _mount(self, options: str) -> None:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "txbox-test", self.path], check=True, capture_output=True
        )


@pytest.fixture
def disk() -> Iterator[Disk]:
    folder = Path(tempfile.mkdtemp(prefix="txbox-test-"))
    folder.chmod(0o755)
    try:
        made = Disk(folder / "disk", 64)
    except (OSError, subprocess.CalledProcessError) as error:
        shutil.rmtree(folder)
        pytest.skip(f"a small disk needs the right to mount: {error}")
    yield made
    made.close()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def server(disk: Disk, pytestconfig: pytest.Config) -> Iterator[Postgres]:
    """A server of the test's own, not yet started; what is to be on the small disk, the test puts there."""
    programs = pytestconfig.getoption("--postgres")
    server = Postgres(disk.path.parent / "postgres", Path(programs) if programs else None, fsync=False)
    server.prepare(free_ports(1)[0])
    yield server
    server.stop_immediately()


class Writers:
    """Sessions that write, and go on after every error: what they know of a commit is what the database has."""

    def __init__(self, url: str, topic: str) -> None:
        self._url, self._topic = url, topic
        self._stopped = threading.Event()
        self.errors: list[psycopg.Error] = []

    def run(self, key: int) -> None:
        while not self._stopped.is_set():
            try:
                with psycopg.connect(self._url, connect_timeout=5) as conn:
                    self._write(conn, key)
            except psycopg.Error as error:
                self.errors.append(error)
                self._stopped.wait(0.05)

    def _write(self, conn: psycopg.Connection[Any], key: int) -> None:
        journal = Journal(conn, self._topic)
        while not self._stopped.wait(0.005):
            with conn.transaction():
                journal.lock(key)
                journal.write(key)
                conn.execute("INSERT INTO filler SELECT repeat('x', 4000) FROM generate_series(1, 5)")

    def stop(self) -> None:
        self._stopped.set()

    def failed(self, kind: type[psycopg.Error], times: int) -> bool:
        """Whether that error was met so often."""
        return sum(isinstance(error, kind) for error in self.errors) >= times


@contextmanager
def writing(url: str, topic: str) -> Iterator[Writers]:
    writers = Writers(url, topic)
    with ThreadPoolExecutor(WRITERS) as pool:
        running = [pool.submit(writers.run, key) for key in range(WRITERS)]
        try:
            yield writers
        finally:
            writers.stop()
        for each in running:
            each.result(60)


def shop(server: Postgres, tablespace: str = "pg_default") -> str:
    """The URL of a database with our tables."""
    with psycopg.connect(server.url, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE shop TABLESPACE {tablespace}".encode())
    url = urlunsplit(urlsplit(server.url)._replace(path="/shop"))
    with psycopg.connect(url, autocommit=True) as conn:
        migrate(conn)
        prepare_tables(conn)
        conn.execute("CREATE TABLE filler (x text)")
        conn.execute("ALTER TABLE filler ALTER COLUMN x SET STORAGE EXTERNAL")
    return url


def count(url: str, query: str = "SELECT count(*) FROM stress_journal") -> int:
    """A number, or -1 while the server does not answer."""
    with suppress(psycopg.OperationalError), psycopg.connect(url, connect_timeout=5) as conn:
        [found] = conn.execute(query.encode()).fetchone() or (0,)
        return int(found)
    return -1


def all_is_well(url: str, topics: Topics, topic: str, relay: Process) -> None:
    """Everything that was committed is published, once the relay has come to it, and in order."""
    eventually(lambda: count(url, UNCOVERED) == 0, within=60)
    assert relay.popen.poll() is None, relay.log
    published = [Seen.of((raw.header("id") or b"").decode(), raw.value) for raw in topics.read(topic)]
    with psycopg.connect(url) as conn:
        assert judge(truth_of(conn), published)._replace(repeated=0) == Verdict()


def goes_on(url: str, rows: int = 30) -> Callable[[], bool]:
    """Whether so many rows more than now were committed."""
    before = max(count(url), 0)
    return lambda: count(url) >= before + rows


def test_writers_fail_cleanly_while_tables_have_no_room_and_all_goes_on_when_they_have(
    disk: Disk, server: Postgres, kafka: Kafka, topics: Topics
):
    topic = topics.make(partitions=2)
    (disk.path / "space").mkdir()
    disk.give_away()
    server.start()
    with psycopg.connect(server.url, autocommit=True) as conn:
        conn.execute(f"CREATE TABLESPACE small LOCATION '{disk.path / 'space'}'".encode())
    url = shop(server, "small")
    with process(relay_process.__name__, url, kafka.bootstrap_servers) as relay, writing(url, topic) as writers:
        eventually(goes_on(url), within=60)
        disk.fill(leave=MEGABYTE)
        eventually(lambda: writers.failed(psycopg.errors.DiskFull, 10), within=60)
        # It has what it needs to save its cursor, or it waits: it never publishes what it could not note.
        eventually(lambda: "No space left" in relay.log or count(url, UNCOVERED) == 0, within=60)
        assert relay.popen.poll() is None, relay.log
        disk.free()
        eventually(goes_on(url), within=60)
        writers.stop()
        all_is_well(url, topics, topic, relay)


def test_a_server_that_gives_up_because_its_log_has_no_room_comes_back_with_all_that_was_committed(
    disk: Disk, server: Postgres, kafka: Kafka, topics: Topics
):
    topic = topics.make(partitions=2)
    shutil.move(server.data / "pg_wal", disk.path / "pg_wal")
    (server.data / "pg_wal").symlink_to(disk.path / "pg_wal")
    disk.give_away()
    with (server.data / "sandbox.conf").open("a") as settings:
        settings.write("min_wal_size = 32MB\nmax_wal_size = 32MB\nwal_init_zero = on\n")
    server.start()
    url = shop(server)
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("SELECT pg_create_physical_replication_slot('keeps', true)")
    with process(relay_process.__name__, url, kafka.bootstrap_servers) as relay, writing(url, topic) as writers:
        eventually(goes_on(url), within=60)
        eventually(lambda: writers.failed(psycopg.OperationalError, WRITERS), within=60)
        eventually(lambda: server.process.pid is None, within=60)
        assert "PANIC" in (server.folder / "log").read_text(), "it gave up"
        assert relay.popen.poll() is None, relay.log
        disk.grow(512)
        server.start()
        eventually(goes_on(url), within=60)
        writers.stop()
        all_is_well(url, topics, topic, relay)
