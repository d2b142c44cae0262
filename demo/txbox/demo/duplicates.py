"""One message is sent ten times. There is one charge. Read it from top to bottom; it is all there is to it."""

import logging

import psycopg
from psycopg.types.json import Jsonb
from uuid_utils.compat import uuid7

from txbox.consumer import Consumer, Received, Runner
from txbox.daemon import Database, Kafka
from txbox.demo.screen import make_console
from txbox.outbox import Message, Outbox
from txbox.relay import Relay, RelayConfig
from txbox.sandbox import temporary
from txbox.schema import migrate

__all__ = ["run"]

consumer = Consumer("billing", topics=["orders"])


@consumer.handler("OrderPlaced")
def charge(conn: psycopg.Connection, message: Received) -> None:
    """Charge for an order: an effect that must not happen twice."""
    conn.execute("INSERT INTO charges (order_id, placed) VALUES (%s, %s)", (message.key, Jsonb(message.payload)))


def run(*, times: int = 10) -> bool:
    """Send one message `times` times, print what the database shows, and return whether it is right."""
    console = make_console()
    with temporary(console.print) as servers:
        database, kafka = Database(url=servers.database_url), Kafka(bootstrap_servers=servers.bootstrap_servers)
        _send(database, kafka, times)

        runner = Runner(consumer, database, kafka)
        logging.getLogger("txbox.consumer").setLevel(logging.INFO)
        runner.run(once=True)

        with psycopg.connect(database.url) as conn:
            charges = conn.execute("SELECT count(*) FROM charges").fetchall()[0][0]
            taken = conn.execute("SELECT count(*) FROM txbox.processed_messages").fetchall()[0][0]
            sent = conn.execute("SELECT count(*), count(DISTINCT id) FROM txbox.outbox").fetchall()[0]
    duplicates = int(
        runner.registry.get_sample_value(
            "txbox_consumer_messages_total", {"consumer": "billing", "topic": "orders", "outcome": "duplicate"}
        )
        or 0
    )
    console.print(f"messages sent       {sent[0]}, of {sent[1]} id")
    console.print(f"charges             {charges}")
    console.print(f"ids in the inbox    {taken}")
    console.print(f"already processed   {duplicates}")
    good = (charges, taken, duplicates) == (1, 1, times - 1)
    console.print("[bold green]PASSED[/]" if good else "[bold red]FAILED[/]")
    return good


def _send(database: Database, kafka: Kafka, times: int) -> None:
    """Write the same message several times, as a service that is called again and again might; publish them all."""
    outbox, message_id, order = Outbox(), uuid7(), uuid7()
    with psycopg.connect(database.url, autocommit=True) as conn:
        migrate(conn)
        conn.execute("CREATE TABLE charges (order_id text NOT NULL, placed jsonb NOT NULL)")
        with conn.transaction():
            for _ in range(times):
                outbox.add(conn, Message("OrderPlaced", {"total": 42}, topic="orders", key=order, id=message_id))
    Relay(database, kafka, RelayConfig(create_topics=True)).run(once=True)
