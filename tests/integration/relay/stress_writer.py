"""A hostile writer in a process of its own: python -m .. DATABASE TOPIC SEED, until SIGTERM.

It takes its xid early, sits on what it wrote, rolls a fifth of it back, goes back to savepoints and prepares
transactions that it ends later. It keeps the one rule that writers have to keep: a key is locked before its message is
inserted, and until the transaction ends.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any, Final

import psycopg
from psycopg import errors

from txbox.daemon import Stop
from txbox.outbox import Message, Outbox

__all__ = ["KEYS", "Journal", "prepare_tables"]

KEYS: Final = 50

#: a writer's own record of what it wrote, in the same transaction: the truth that the relay is held against
_TABLES: Final = """
CREATE TABLE stress_key (key int PRIMARY KEY);
INSERT INTO stress_key SELECT generate_series(0, 1000);
CREATE TABLE stress_journal (id uuid PRIMARY KEY, key int NOT NULL, n int NOT NULL, pid int NOT NULL);
CREATE INDEX ON stress_journal (key, n);
"""


def prepare_tables(conn: psycopg.Connection[Any]) -> None:
    conn.execute(_TABLES)


class Journal:
    """Writes messages of numbered keys, each with the next number of its key."""

    def __init__(self, conn: psycopg.Connection[Any], topic: str) -> None:
        self._conn, self._topic = conn, topic
        self._outbox = Outbox()

    def lock(self, key: int) -> None:
        """Half of the keys by a row that belongs to them, half by an advisory lock."""
        if key % 2:
            self._conn.execute("SELECT FROM stress_key WHERE key = %s FOR UPDATE", [key])
        else:
            self._conn.execute("SELECT pg_advisory_xact_lock(%s)", [key])

    def write(self, key: int) -> None:
        """Insert the next message of a key that is locked."""
        found = self._conn.execute("SELECT coalesce(max(n), 0) + 1 FROM stress_journal WHERE key = %s", [key])
        [n] = found.fetchone() or (0,)
        id_ = self._outbox.add(self._conn, Message("Stressed", {"key": key, "n": n}, topic=self._topic, key=key))
        self._conn.execute("INSERT INTO stress_journal VALUES (%s, %s, %s, %s)", [id_, key, n, os.getpid()])


class Writer:
    """One process's load."""

    def __init__(self, conn: psycopg.Connection[Any], topic: str, seed: int) -> None:
        self._conn, self._random = conn, Random(seed)
        self._journal = Journal(conn, topic)
        self._begun = 0
        self._prepared: str | None = None

    def transaction(self) -> None:
        """One of them; two that waited for each other too long are rolled back."""
        earlier, self._prepared = self._prepared, None
        self._begun += 1
        try:
            self._conn.execute("BEGIN")
            self._fill()
            self._end()
        except (errors.LockNotAvailable, errors.DeadlockDetected):
            self._conn.execute("ROLLBACK")
        self.settle(earlier)

    def settle(self, prepared: str | None = None) -> None:
        """End a prepared transaction, the last one unless another is named."""
        if name := prepared or self._prepared:
            self._conn.execute(f"{'ROLLBACK' if self._chance(0.3) else 'COMMIT'} PREPARED '{name}'")
        self._prepared = self._prepared if prepared else None

    def _fill(self) -> None:
        if self._chance(0.3):
            self._conn.execute("SELECT pg_current_xact_id()")
        keys = sorted(self._random.sample(range(KEYS), self._random.choice((1, 1, 1, 2, 3))))
        self._sit(0.05)
        for key in keys:
            self._journal.lock(key)
            if self._chance(0.2):
                with self._gone():
                    self._journal.write(key)
            for _ in range(self._random.choice((0, 1, 1, 1, 2, 5))):
                self._journal.write(key)
        self._sit(0.1)

    def _end(self) -> None:
        if self._chance(0.1):
            name = f"stress-{os.getpid()}-{self._begun}"
            self._conn.execute(f"PREPARE TRANSACTION '{name}'")
            self._prepared = name
        else:
            self._conn.execute("ROLLBACK" if self._chance(0.2) else "COMMIT")

    @contextmanager
    def _gone(self) -> Iterator[None]:
        """What is done within is taken back."""
        self._conn.execute("SAVEPOINT s")
        yield
        self._conn.execute("ROLLBACK TO s")

    def _sit(self, likely: float) -> None:
        if self._chance(likely):
            self._conn.execute("SELECT pg_sleep(%s)", [self._random.uniform(0, 0.5)])

    def _chance(self, likely: float) -> bool:
        return self._random.random() < likely


def main(url: str, topic: str, seed: str) -> None:
    stop = Stop()
    with stop.on_signals(), psycopg.connect(url, autocommit=True) as conn:
        conn.execute("SET lock_timeout = '1s'")
        writer = Writer(conn, topic, int(seed))
        while not stop.requested:
            writer.transaction()
        writer.settle()


if __name__ == "__main__":
    main(*sys.argv[1:])
