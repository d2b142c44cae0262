"""PostgreSQL servers of a test's own, to be killed, copied, promoted and restored."""

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from tests.waiting import eventually
from txbox.sandbox.folders import postgres_account
from txbox.sandbox.postgres import Postgres
from txbox.sandbox.processes import children
from txbox.sandbox.servers import free_ports

__all__ = ["Standby", "anywhere", "copied", "dumped", "execute", "power_cut", "restored", "server", "standby"]


class Standby(Postgres):
    """A physical standby: its data folder is a base backup of its primary, which must be up when this is prepared."""

    def __init__(self, folder: Path, primary: Postgres) -> None:
        super().__init__(folder, primary.program("postgres").parent, fsync=False)
        self.name, self._primary = folder.name, primary

    def promote(self) -> None:
        """Make a primary of it; returns when it takes writes."""
        execute(self, "SELECT pg_promote()")

    def make_synchronous(self) -> None:
        """From now on COMMIT on the primary returns when this standby has it on disk."""
        names = f"ALTER SYSTEM SET synchronous_standby_names = '{self.name}'"
        execute(self._primary, names, "SELECT pg_reload_conf()")
        eventually(lambda: execute(self._primary, "SELECT sync_state FROM pg_stat_replication") == [("sync",)])

    def catch_up(self) -> None:
        """Return when this standby shows all that its primary has written."""
        [[lsn]] = execute(self._primary, "SELECT pg_current_wal_flush_lsn()::text")
        eventually(lambda: execute(self, f"SELECT pg_last_wal_replay_lsn() >= '{lsn}'") == [(True,)])

    def cut_off(self) -> None:
        """Receive nothing more from the primary; returns when it knows."""
        execute(self, "ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()")
        eventually(lambda: not _streams(self._primary, self.name))

    def _initialise(self) -> None:
        """Copy the primary with pg_basebackup, which also writes down whom to follow from then on."""
        parent = self.folder / "new"
        parent.mkdir()
        if account := postgres_account():
            shutil.chown(parent, account.uid, account.gid)
        source = f"host=127.0.0.1 port={self._primary.port} user=postgres application_name={self.name}"
        options = ("--write-recovery-conf", "--checkpoint=fast", "--wal-method=stream", "--no-sync")
        command: list[str | Path] = [self.program("pg_basebackup"), "-D", parent / "data", "-d", source, *options]
        self.process.run(command, cwd=self.folder, account=postgres_account())
        (parent / "data").rename(self.data)


@contextmanager
def server(folder: Path, programs: Path | None = None) -> Iterator[Postgres]:
    """A new server of its own, up."""
    with _up(Postgres(folder, programs, fsync=False)) as one:
        yield one


@contextmanager
def standby(primary: Postgres, name: str = "standby") -> Iterator[Standby]:
    """A standby of `primary`, up and streaming; `name` is what `synchronous_standby_names` may call it."""
    one = Standby(primary.folder.with_name(name), primary)
    with _up(one):
        eventually(lambda: _streams(primary, name))
        yield one


@contextmanager
def _up(one: Postgres) -> Iterator[Postgres]:
    """Start a server on a port of its own; nothing of it runs afterwards."""
    try:
        [port] = free_ports(1)
        one.prepare(port)
        one.start()
        yield one
    finally:
        one.kill()


def anywhere(*servers: Postgres) -> str:
    """libpq's URL of whichever of them takes writes."""
    hosts = ",".join(f"127.0.0.1:{one.port}" for one in servers)
    return f"postgresql://postgres@{hosts}/postgres?target_session_attrs=read-write"


def power_cut(one: Postgres) -> None:
    """End all processes of a server at one moment, as a machine that dies does: none notices that another has ended."""
    pid = one.process.pid
    assert pid is not None
    one.process.signal(signal.SIGSTOP)
    eventually(lambda: ") T" in Path(f"/proc/{pid}/stat").read_text())
    sessions = children(pid)
    for session in sessions:
        session.signal(signal.SIGKILL)
    one.process.kill()
    eventually(lambda: not any(session.alive() for session in sessions))


def copied(one: Postgres) -> Path:
    """Stop a server, copy its data folder aside, and start it again: a cold backup."""
    one.stop()
    backup = one.folder / "backup"
    _copy(one.data, backup)
    one.start()
    return backup


def restored(one: Postgres, backup: Path) -> None:
    """Kill a server, put a cold backup in the place of its data, and start it."""
    one.kill()
    shutil.rmtree(one.data)
    _copy(backup, one.data)
    one.start()


def dumped(one: Postgres, other: Postgres) -> None:
    """Copy the maintenance database into that of another cluster, with pg_dump: nothing but SQL."""
    dump = subprocess.run([one.program("pg_dump"), one.url], check=True, capture_output=True)
    restore: list[str | Path] = [other.program("psql"), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", other.url]
    subprocess.run(restore, check=True, capture_output=True, input=dump.stdout)


def execute(one: Postgres, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements as superuser, each for itself; return the rows of the last one, if it has any."""
    with psycopg.connect(one.url, autocommit=True) as conn:
        for statement in statements:
            cursor = conn.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def _streams(primary: Postgres, name: str) -> bool:
    return (name, "streaming") in execute(primary, "SELECT application_name, state FROM pg_stat_replication")


def _copy(source: Path, target: Path) -> None:
    """Copy a data folder; it belongs to whom the first one belongs to."""
    shutil.copytree(source, target, symlinks=True)
    if account := postgres_account():
        for path in (target, *target.rglob("*")):
            shutil.chown(path, account.uid, account.gid)
