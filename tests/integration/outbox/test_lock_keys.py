"""lock_keys: writers of one key take turns, so that seqs are drawn in the order of the commits."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import Connection

from tests.waiting import eventually
from txbox.daemon import Database
from txbox.outbox import Message, Outbox

LOCKING = Outbox(lock_keys=True)


class Writer:
    """A transaction, and a thread in which its statements may wait."""

    def __init__(self, database: Database) -> None:
        self.conn: Connection[Any] = psycopg.connect(database.url)
        self._pool = ThreadPoolExecutor(1)

    def add(self, *messages: Message) -> "Future[list[UUID]]":
        return self._pool.submit(LOCKING.add_many, self.conn, messages)

    def close(self) -> None:
        self.conn.rollback()
        self._pool.shutdown()
        self.conn.close()


@pytest.fixture
def writers(database: Database) -> Iterator[tuple[Writer, Writer]]:
    both = Writer(database), Writer(database)
    yield both
    for writer in both:
        writer.close()


def waits(conn: Connection, writer: Writer) -> bool:
    row = conn.execute("SELECT pg_blocking_pids(%s) <> '{}'", (writer.conn.info.backend_pid,)).fetchone()
    return bool(row and row[0])


def message(type_: str, key: int | None, topic: str = "orders") -> Message:
    return Message(type_, topic=topic, key=key)


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_the_second_writer_of_a_key_waits_for_the_end_of_the_first(
    conn: Connection, writers: tuple[Writer, Writer], end: str
) -> None:
    first, second = writers
    first.add(message("First", 1)).result(10)
    waiting = second.add(message("Second", 1))
    eventually(lambda: waits(conn, second))
    getattr(first.conn, end)()
    waiting.result(10)
    second.conn.commit()
    rows = conn.execute("SELECT type FROM txbox.outbox ORDER BY seq").fetchall()
    assert rows == [("First",), ("Second",)][end == "rollback" :]


@pytest.mark.parametrize("other", [message("T", 2), message("T", None), message("T", 1, topic="payments")], ids=str)
def test_other_keys_do_not_wait(writers: tuple[Writer, Writer], other: Message) -> None:
    first, second = writers
    first.add(message("T", 1), message("T", None)).result(10)
    second.add(other).result(10)


def test_crossed_keys_do_not_deadlock(writers: tuple[Writer, Writer], conn: Connection) -> None:
    keys = [message("T", key) for key in range(50)]
    for _ in range(10):
        adding = [writers[0].add(*keys), writers[1].add(*reversed(keys))]
        eventually(lambda: any(waits(conn, writer) for writer in writers))  # used within the turn
        for writer, added in sorted(zip(writers, adding, strict=True), key=lambda pair: waits(conn, pair[0])):
            added.result(10)
            writer.conn.commit()


def test_without_it_nobody_waits(writers: tuple[Writer, Writer]) -> None:
    for writer in writers:
        Outbox().add(writer.conn, message("T", 1))
