"""The blocks of README.md and docs/ run: what a page shows is what happens."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.acceptance.session import Session
from tests.pages import PAGES, blocks
from tests.waiting import eventually
from txbox.consumer import Consumer, ConsumerConfig, Runner
from txbox.daemon import Database, Kafka
from txbox.outbox import Message, Outbox
from txbox.relay import Relay, RelayConfig

RUNNING = [page for page in PAGES if any(block.language != "text" and not block.not_run for block in blocks(page))]


@pytest.mark.parametrize("page", RUNNING, ids=lambda page: page.name)
def test_a_page_does_what_it_shows(
    page: Path,
    database: Database,
    kafka: Kafka,
    conn: psycopg.Connection,
    txbox_topic: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.chdir(tmp_path)
    session = Session(database, kafka, tmp_path, conn)
    STAGES.get(page.name, lambda *_: None)(session, txbox_topic)
    for block in blocks(page):
        if block.language != "text" and not block.not_run:
            session.run(block)


def _a_dead_message(session: Session, topic: str, key: str = "o-17") -> None:
    """Billing holds a message of order o-17, and one behind it."""
    consumer = Consumer("billing", topics=[topic])

    @consumer.handler("OrderPlaced")
    def charge(conn: psycopg.Connection, message: object) -> None:
        raise KeyError

    with session.conn.transaction():
        messages = [Message("OrderPlaced", {"n": n}, topic=topic, key=key) for n in range(2)]
        dead, _ = Outbox().add_many(session.conn, messages)
    Relay(session.database, session.kafka, RelayConfig(create_topics=True, partitions=1, topic=topic)).run(once=True)
    Runner(consumer, session.database, session.kafka, ConsumerConfig(attempts=1)).run(once=True)
    session.words["ID"] = str(dead)
    (session.folder / "fixed.json").write_text("{}")


def _a_refused_message(session: Session, topic: str, key: str = "b") -> None:
    """The relay holds two messages that are too large for their topic."""
    admin = AdminClient({"bootstrap.servers": session.kafka.bootstrap_servers, "log_level": 0})
    admin.create_topics([NewTopic(topic, 1, 1, config={"max.message.bytes": "1000"})])[topic].result(20)
    eventually(lambda: admin.list_topics(topic, timeout=20).topics[topic].partitions)
    with session.conn.transaction():
        messages = [Message("Report", "x" * 3000, topic=topic, key=key) for key in ("a", key)]
        _, refused = Outbox().add_many(session.conn, messages)
    Relay(session.database, session.kafka, RelayConfig(on_undeliverable="hold")).run(once=True)
    session.words |= {"orders": topic, "0198f2c5-...": str(refused)}


def _things_of_a_customer(session: Session, topic: str) -> None:
    """Messages of customer 7 are in the outbox, held by the relay, and held by billing: one dead, one behind it."""
    _a_refused_message(session, f"{topic}-small", key="customer-7")
    _a_dead_message(session, topic, key="customer-7")


def _handled(session: Session, topic: str) -> None:
    """Billing has handled a message, its relay has led."""
    consumer = Consumer("billing", topics=[topic])

    @consumer.handler("OrderPlaced")
    def charge(conn: psycopg.Connection, message: object) -> None:
        pass

    with session.conn.transaction():
        handled = Outbox().add(session.conn, Message("OrderPlaced", {}, topic=topic, key="o-17"))
    Relay(session.database, session.kafka, RelayConfig(create_topics=True, partitions=1)).run(once=True)
    Runner(consumer, session.database, session.kafka, ConsumerConfig()).run(once=True)
    session.words |= {"0198f2c5-7f2e-7a4b-8a3e-5f0d1c2b3a49": str(handled), '"orders"': f'"{topic}"'}


#: what a page takes for granted
STAGES: dict[str, Callable[[Session, str], None]] = {
    "again.md": _handled,
    "held.md": _a_dead_message,
    "kafka-errors.md": _a_refused_message,
    "personal-data.md": _things_of_a_customer,
}
