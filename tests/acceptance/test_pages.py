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


def _a_dead_message(session: Session, topic: str) -> None:
    """Billing holds a message of order o-17, and one behind it."""
    consumer = Consumer("billing", topics=[topic])

    @consumer.handler("OrderPlaced")
    def charge(conn: psycopg.Connection, message: object) -> None:
        raise KeyError

    with session.conn.transaction():
        messages = [Message("OrderPlaced", {"n": n}, topic=topic, key="o-17") for n in range(2)]
        dead, _ = Outbox().add_many(session.conn, messages)
    Relay(session.database, session.kafka, RelayConfig(create_topics=True, partitions=1, topic=topic)).run(once=True)
    Runner(consumer, session.database, session.kafka, ConsumerConfig(attempts=1)).run(once=True)
    session.words["ID"] = str(dead)
    (session.folder / "fixed.json").write_text("{}")


def _a_refused_message(session: Session, topic: str) -> None:
    """The relay holds two messages that are too large for their topic."""
    admin = AdminClient({"bootstrap.servers": session.kafka.bootstrap_servers, "log_level": 0})
    admin.create_topics([NewTopic(topic, 1, 1, config={"max.message.bytes": "1000"})])[topic].result(20)
    eventually(lambda: admin.list_topics(topic, timeout=20).topics[topic].partitions)
    with session.conn.transaction():
        messages = [Message("Report", "x" * 3000, topic=topic, key=key) for key in ("a", "b")]
        _, refused = Outbox().add_many(session.conn, messages)
    Relay(session.database, session.kafka, RelayConfig(on_undeliverable="hold")).run(once=True)
    session.words |= {"orders": topic, "0198f2c5-...": str(refused)}


def _a_transaction(session: Session, topic: str) -> None:
    """Users that the page makes or has are gone in the end: roles are the whole server's."""
    session.conn.execute("BEGIN")
    session.conn.execute("CREATE ROLE billing; CREATE ROLE grafana; CREATE ROLE auditor")


#: what a page takes for granted
STAGES: dict[str, Callable[[Session, str], None]] = {
    "held.md": _a_dead_message,
    "kafka-errors.md": _a_refused_message,
    "roles.md": _a_transaction,
}
