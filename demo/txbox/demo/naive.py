"""Billing as people write it first: no inbox. Each message in a transaction, then its offset. Run as a process.

`txbox demo crash-recovery --no-dedupe` puts it in billing's place, to show that the verdict can be a bad one.
"""

import json
import sys

import psycopg
from confluent_kafka import Consumer, Message

from txbox.daemon import Stop
from txbox.demo.billing import record_charge
from txbox.demo.shop import TOPIC

__all__ = ["main"]


def main(url: str, bootstrap_servers: str) -> None:
    """Charge for each message that comes, as often as it comes, until SIGTERM."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "naive-billing",
            "group.instance.id": "naive-billing",
            "session.timeout.ms": 6000,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([TOPIC])
    stop = Stop()
    with stop.on_signals(), psycopg.connect(url, autocommit=True) as conn:
        while not stop.requested:
            message = consumer.poll(0.1)
            if message is not None and message.error() is None:
                _charge(conn, message)
                consumer.commit(message=message, asynchronous=True)
    consumer.close()


def _charge(conn: psycopg.Connection, message: Message) -> None:
    try:
        placed = json.loads(message.value() or b"")
    except ValueError:
        return
    with conn.transaction():
        record_charge(conn, placed)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
