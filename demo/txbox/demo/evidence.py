"""What the verdict is made of, read from the shop's tables and from the topic."""

import json
from typing import Any, Final
from uuid import UUID

import psycopg
from confluent_kafka import Consumer, TopicPartition
from psycopg.rows import args_row

from txbox.demo.shop import TOPIC, Shop
from txbox.demo.verdict import Charge, Held, Order, Wire

__all__ = ["charged", "charges", "held", "orders", "owed", "placed", "trading", "wire"]

_PATIENCE: Final = 10.0


def orders(shop: Shop) -> list[Order]:
    """Return all committed orders."""
    with psycopg.connect(shop.orders_url) as conn, conn.cursor(row_factory=args_row(Order)) as cursor:
        return cursor.execute("SELECT id, customer, nth, total, placed_at FROM orders").fetchall()


def charges(shop: Shop) -> list[Charge]:
    """Return all charges in the order in which they were written."""
    with psycopg.connect(shop.billing_url) as conn, conn.cursor(row_factory=args_row(Charge)) as cursor:
        return cursor.execute("SELECT order_id, customer, nth, amount, charged_at FROM charges ORDER BY n").fetchall()


def owed(shop: Shop) -> int:
    """Return what all accounts together say that customers owe."""
    with psycopg.connect(shop.billing_url) as conn:
        row = conn.execute("SELECT sum(owed)::bigint FROM accounts").fetchone()
    return int(row[0]) if row else 0


def held(shop: Shop) -> list[Held]:
    """Return every message that was ever held."""
    query = """
        SELECT message_id, order_id, was_dead, EXISTS (SELECT FROM txbox.held_messages AS now
            WHERE now.message_id = held.message_id)
        FROM held
    """
    with psycopg.connect(shop.billing_url) as conn, conn.cursor(row_factory=args_row(Held)) as cursor:
        return cursor.execute(query).fetchall()


def placed(shop: Shop) -> int:
    """Return how many orders were committed."""
    with psycopg.connect(shop.orders_url) as conn:
        return int(conn.execute("SELECT count(*) FROM orders").fetchall()[0][0])


def trading(shop: Shop) -> bool:
    """Return whether an order was committed within the last half minute."""
    with psycopg.connect(shop.orders_url) as conn:
        latest = "SELECT EXISTS (SELECT FROM orders WHERE placed_at > now() - interval '30 s')"
        return conn.execute(latest).fetchone() == (True,)


def charged(shop: Shop) -> int:
    """Return how many orders were charged, however often each: twice the one is not the other."""
    with psycopg.connect(shop.billing_url) as conn:
        return int(conn.execute("SELECT count(DISTINCT order_id) FROM charges").fetchall()[0][0])


def wire(shop: Shop) -> list[Wire]:
    """Return every message on the topic, read from its very beginning by a client that shares nothing with txbox's."""
    consumer = Consumer(
        {"bootstrap.servers": shop.bootstrap_servers, "group.id": "verdict", "enable.auto.commit": False}
    )
    try:
        metadata = consumer.list_topics(TOPIC, timeout=_PATIENCE)
        starts = [TopicPartition(TOPIC, partition, 0) for partition in metadata.topics[TOPIC].partitions]
        left = sum(consumer.get_watermark_offsets(start, timeout=_PATIENCE)[1] for start in starts)
        consumer.assign(starts)
        found: list[Wire] = []
        while left > 0:
            messages = consumer.consume(min(left, 10_000), timeout=_PATIENCE)
            if not messages:
                raise RuntimeError(f"{left} messages of topic {TOPIC} cannot be read")
            left -= len(messages)
            found += [seen for message in messages if (seen := _seen(message)) is not None]
        return found
    finally:
        consumer.close()


def _seen(message: Any) -> Wire | None:
    """Return an order's message; None for one that is none (the demonstration sends an unreadable one)."""
    try:
        placed = json.loads(message.value())
    except ValueError:
        return None
    return Wire(UUID(placed["order"]), placed["customer"], placed["nth"], message.partition())
