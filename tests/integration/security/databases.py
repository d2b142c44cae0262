"""A PostgreSQL server that speaks TLS and asks for certificates and passwords; the wheel's cannot, Debian's can."""

import os
import shutil
import struct
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from tests.integration.security.certificates import Authority, certificate, shown
from tests.waiting import eventually
from txbox.sandbox import Postgres
from txbox.sandbox.folders import postgres_account
from txbox.sandbox.servers import free_ports

__all__ = ["SecurePostgres", "programs"]

_SSL_REQUEST: Final = struct.pack("!ii", 8, 80877103)
#: who may come, and how: postgres as in any sandbox, which the tests need
_WHO: Final = """
host    all  postgres  127.0.0.1/32  trust
hostssl all  relay     127.0.0.1/32  scram-sha-256
hostssl all  bearer    127.0.0.1/32  cert
"""
_SETTINGS: Final = """
ssl = on
ssl_cert_file = '{folder}/server.crt'
ssl_key_file = '{folder}/server.key'
ssl_ca_file = '{folder}/ca.crt'
password_encryption = 'scram-sha-256'
"""


def programs() -> Path | None:
    """The bin folder of a PostgreSQL that speaks TLS."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return found[-1] if found else None


class SecurePostgres:
    """One server; `show` changes its certificate while it runs."""

    def __init__(self, folder: Path, authority: Authority, bin_: Path) -> None:
        self._authority = authority
        self._postgres = Postgres(folder, bin_, fsync=False)
        [self.port] = free_ports(1)
        self._postgres.prepare(self.port)
        data = self._postgres.data
        (data / "pg_hba.conf").write_text(_WHO)
        with (data / "postgresql.conf").open("a") as file:
            file.write(_SETTINGS.format(folder=data))
        self._put(authority.pem, "ca.crt")
        self._install(authority.issue("postgres", "localhost", "127.0.0.1"))

    def start(self) -> None:
        self._postgres.start()

    def stop(self) -> None:
        self._postgres.stop()

    @property
    def url(self) -> str:
        """As superuser, without TLS."""
        return self._postgres.url

    def user(self, name: str, password: str) -> None:
        """Make a user, or change the password of one."""
        with psycopg.connect(self.url, autocommit=True) as conn:
            known = conn.execute("SELECT FROM pg_roles WHERE rolname = %s", (name,)).fetchone() is not None
            verb = sql.SQL("ALTER" if known else "CREATE")
            told = sql.SQL("{} ROLE {} LOGIN SUPERUSER PASSWORD {}")
            conn.execute(told.format(verb, sql.Identifier(name), sql.Literal(password)))

    def cut(self) -> None:
        """End all sessions but this one's: whoever is connected must come anew."""
        with psycopg.connect(self.url, autocommit=True) as conn:
            conn.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename IN ('relay', 'bearer')")

    def show(self, keys: Path) -> None:
        """Show another certificate, to whoever comes from now on."""
        self._install(keys)
        with psycopg.connect(self.url, autocommit=True) as conn:
            conn.execute("SELECT pg_reload_conf()")
        eventually(lambda: shown(self.port, _SSL_REQUEST) == certificate(keys))

    def _install(self, keys: Path) -> None:
        self._put(keys.with_suffix(".crt"), "server.crt")
        self._put(keys.with_suffix(".key"), "server.key")

    def _put(self, source: Path, name: str) -> None:
        target = self._postgres.data / name
        shutil.copyfile(source, target)
        target.chmod(0o600)
        if account := postgres_account():
            os.chown(target, account.uid, account.gid)
