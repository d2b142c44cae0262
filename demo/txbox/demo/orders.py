"""The orders service: places orders and tells of them, each in one transaction. Run as a process.

Its writers behave as badly as writers do: a fifth of their transactions rolls back, some stay open for a while, so that
rows become visible in another order than that of their numbers.
"""

import random
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import psycopg
from psycopg import Connection
from uuid_utils.compat import uuid7

from txbox.daemon import Stop
from txbox.demo.shop import CUSTOMERS, PLACED, TOPIC
from txbox.outbox import Message, Outbox

__all__ = ["main", "place_order"]

_WRITERS = 4
_ROLLED_BACK = 0.2
_DAWDLING = 0.05

outbox = Outbox()


def place_order(conn: Connection, customer: int, total: int) -> UUID:
    """Place an order and tell of it, in the caller's transaction."""
    order = uuid7()
    # The customer's row is locked from here to the end: her orders' messages keep their order.
    row = conn.execute(
        "UPDATE customers SET orders = orders + 1 WHERE id = %s RETURNING orders", (customer,)
    ).fetchone()
    assert row is not None, f"no customer {customer}"  # noqa: S101
    conn.execute(
        "INSERT INTO orders (id, customer, nth, total) VALUES (%s, %s, %s, %s)", (order, customer, row[0], total)
    )
    placed = {"order": order, "customer": customer, "nth": row[0], "total": total}
    outbox.add(conn, Message(PLACED, placed, topic=TOPIC, key=customer))
    return order


def main(url: str, seed: int, pause: float = 0.02) -> None:
    """Place orders until SIGTERM, each writer one in up to `pause` seconds."""
    stop = Stop()
    with stop.on_signals():
        writers = [threading.Thread(target=_write, args=(url, seed + n, stop, pause)) for n in range(_WRITERS)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()


def _write(url: str, seed: int, stop: Stop, pause: float) -> None:
    rng = random.Random(seed)  # noqa: S311  # for the demonstration, not for secrets
    with psycopg.connect(url, autocommit=True) as conn:
        while not stop.wait(rng.uniform(0.001, pause)):
            with _perhaps_rolled_back(conn, rng):
                place_order(conn, rng.randint(1, CUSTOMERS), rng.randint(1, 500))
                if rng.random() < _DAWDLING:
                    stop.wait(rng.uniform(0.05, 0.3))


@contextmanager
def _perhaps_rolled_back(conn: Connection, rng: random.Random) -> Iterator[None]:
    with conn.transaction():
        yield
        if rng.random() < _ROLLED_BACK:
            raise psycopg.Rollback


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
