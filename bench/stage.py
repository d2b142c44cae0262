"""The servers, a database and a topic to measure on, and how work is run there."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from psycopg.rows import scalar_row

from txbox.sandbox import Sandbox, Servers
from txbox.schema import migrate

__all__ = ["SIZE", "Stage", "stage"]

#: bytes of a payload
SIZE: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where it is measured."""

    sandbox: Sandbox
    servers: Servers
    conn: psycopg.Connection[Any]

    def topic(self) -> str:
        """Return a new topic with 6 partitions."""
        name = f"bench-{uuid4().hex[:8]}"
        admin = AdminClient({"bootstrap.servers": self.servers.bootstrap_servers})
        admin.create_topics([NewTopic(name, 6, 1)])[name].result(timeout=30)
        return name

    @property
    def where(self) -> dict[str, str]:
        """What work needs to know of the servers."""
        return {"database_url": self.servers.database_url, "bootstrap_servers": self.servers.bootstrap_servers}

    def fill(self, topic: str, messages: int) -> None:
        """Replace the outbox's rows by `messages` others, as a table in rest: vacuumed, checkpointed."""
        self.conn.execute("TRUNCATE txbox.outbox")
        self.conn.execute(
            "INSERT INTO txbox.outbox (aggregateid, type, payload, topic) "
            "SELECT (n %% 1000)::text, 'OrderPlaced', convert_to(to_json(repeat('x', %s))::text, 'UTF8'), %s "
            "FROM generate_series(1, %s) AS n",
            (SIZE - 2, topic, messages),
        )
        # After it no first read of a fresh row writes hint bits, and no page its first image: what follows is the
        # relay's own WAL.
        self.conn.execute("VACUUM ANALYZE txbox.outbox")
        self.conn.execute("CHECKPOINT")

    def scalar(self, query: str) -> Any:
        """Return the one value of a query."""
        with self.conn.cursor(row_factory=scalar_row) as cursor:
            return cursor.execute(query.encode()).fetchone()

    def statements(self) -> int:
        """Return how many statements this database has run so far."""
        self.conn.execute("SELECT pg_stat_force_next_flush()")
        query = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
        return int(self.scalar(query))

    @contextmanager
    def transaction(self, *statements: str) -> Iterator[None]:
        """Keep a transaction open for as long as the block lasts, and roll it back."""
        with psycopg.connect(self.servers.database_url) as conn:
            for statement in statements:
                conn.execute(statement.encode())
            yield
            conn.rollback()

    def pgbench(self, *options: object, script: str = "") -> str:
        """Run pgbench, with a script of its own if there is one; return what it printed."""
        url = urlsplit(self.servers.database_url)
        where = ("-h", url.hostname, "-p", url.port, "-U", url.username, url.path.removeprefix("/"))
        with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
            file.write(script)
            file.flush()
            scripts = ("-f", file.name) if script else ()
            command = [self.sandbox.postgres.program("pgbench"), *options, *scripts, *where]
            return subprocess.run(list(map(str, command)), capture_output=True, check=True, text=True).stdout

    def work(self, what: str, /, **arguments: object) -> dict[str, float]:
        """Run one piece of work (`what`) of `bench.work` in a process of its own; return what it measured."""
        command = [sys.executable, "-m", "bench.work", what, *(f"{key}={value}" for key, value in arguments.items())]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=600)
        result: dict[str, float] = json.loads(done.stdout)
        return result

    @contextmanager
    def working(self, what: str, *, times: int, **arguments: object) -> Iterator[None]:
        """Run so many processes of one piece of work for as long as the block lasts; they end by SIGTERM."""
        command = [sys.executable, "-m", "bench.work", what, *(f"{key}={value}" for key, value in arguments.items())]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        processes = [subprocess.Popen(command, **quiet) for _ in range(times)]  # type: ignore[call-overload]
        try:
            yield
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait(60)


@contextmanager
def stage() -> Iterator[Stage]:
    """Start the servers for as long as the block lasts."""
    sandbox = Sandbox(progress=lambda text: print(text, file=sys.stderr))
    with sandbox as servers, psycopg.connect(servers.database_url, autocommit=True) as conn:
        migrate(conn)
        yield Stage(sandbox=sandbox, servers=servers, conn=conn)
