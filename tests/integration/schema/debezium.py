"""A service that writes to the outbox table of Debezium's documentation, and what is to be so of its messages."""

import json
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple
from uuid import UUID, uuid4

import psycopg
from psycopg import Connection

from txbox.daemon import Database

__all__ = ["INSERT", "TABLE", "Written", "in_order", "make_orders", "writers"]

#: with the columns that the extension for Quarkus adds
TABLE = """
CREATE TABLE outboxevent (
    id uuid PRIMARY KEY,
    aggregatetype varchar(255) NOT NULL,
    aggregateid varchar(255) NOT NULL,
    type varchar(255) NOT NULL,
    payload {payload},
    "timestamp" timestamp,
    tracingspancontext varchar(256)
)
"""
INSERT = "INSERT INTO outboxevent (id, aggregatetype, aggregateid, type, payload) VALUES (%s, %s, %s, %s, %s)"
_KEYS = 5


class Written(NamedTuple):
    """A message that was committed: the n-th of its key."""

    key: str
    version: int
    id: UUID


def make_orders(conn: Connection) -> None:
    """The aggregates, whose rows writers lock before they insert."""
    conn.execute("CREATE TABLE orders (id text PRIMARY KEY, version int NOT NULL)")
    conn.execute("INSERT INTO orders SELECT 'k' || n, 0 FROM generate_series(0, %s) AS n", (_KEYS - 1,))


@contextmanager
def writers(database: Database, topic: str) -> Iterator[list[Future[list[Written]]]]:
    """Services that write until the block is over; then each tells what it committed."""
    over: list[bool] = []
    with ThreadPoolExecutor(4) as pool:
        try:
            yield [pool.submit(_write, database, topic, number, over) for number in range(4)]
        finally:
            over.append(True)


def _write(database: Database, topic: str, number: int, over: Sequence[bool]) -> list[Written]:
    """Roll back a fifth; delete the row in its own transaction, as Quarkus does, or not."""
    dice, committed = random.Random(number), []
    with psycopg.connect(database.url) as conn:
        while not over:
            key, id_ = f"k{dice.randrange(_KEYS)}", uuid4()
            changed = conn.execute("UPDATE orders SET version = version + 1 WHERE id = %s RETURNING version", (key,))
            [version] = changed.fetchone() or (0,)
            conn.execute(INSERT, (id_, topic, key, "Changed", json.dumps({"version": version})))
            if number % 2:
                conn.execute("DELETE FROM outboxevent WHERE id = %s", (id_,))
            if dice.random() < 0.2:
                conn.rollback()
            else:
                conn.commit()
                committed.append(Written(key, version, id_))
    return committed


def in_order(published: Sequence[UUID], written: Sequence[Written]) -> bool:
    """Whether the first occurrences of each key's messages are in the order of its versions."""
    place = {id_: n for n, id_ in reversed(list(enumerate(published)))}
    by_key = defaultdict[str, list[int]](list)
    for key, _, id_ in sorted(written):
        by_key[key].append(place[id_])
    return all(places == sorted(places) for places in by_key.values())
