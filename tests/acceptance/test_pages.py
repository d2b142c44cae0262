"""The blocks of README.md and docs/ run: what a page shows is what happens."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
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
    monkeypatch.setenv("DATABASE_URL", database.url)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap_servers)
    session = Session(database, kafka, tmp_path, conn)
    with STAGES.get(page.name, _bare)(session, txbox_topic):
        for block in blocks(page):
            if block.language != "text" and not block.not_run:
                session.run(block)


@contextmanager
def _bare(session: Session, topic: str) -> Iterator[None]:
    """Nothing is there yet."""
    yield


@contextmanager
def _empty(session: Session, topic: str) -> Iterator[None]:
    """There are no messages of others in the README's topic; in the end there is one charge for its order."""
    session.words |= {'orders", key': f'{topic}", key', 'topics=["orders"]': f'topics=["{topic}"]'}
    session.words |= {'"billing"': f'"{topic}"', "lag billing": f"lag {topic}"}
    yield
    assert session.conn.execute("SELECT order_id, amount FROM charges").fetchall() == [("1", 42)]


@contextmanager
def _held(session: Session, topic: str) -> Iterator[None]:
    """Billing holds a message of order o-17, and one behind it; the page discards the first."""
    _hold(session, topic, "o-17")
    yield
    assert session.conn.execute("SELECT state FROM txbox.held_messages").fetchall() == [("waiting",)]


@contextmanager
def _refused(session: Session, topic: str) -> Iterator[None]:
    """The relay holds two messages that Kafka refused."""
    _refuse(session, topic, "b")
    yield


@contextmanager
def _customer(session: Session, topic: str) -> Iterator[None]:
    """Messages of customer 7 are in the outbox, held by the relay, and held by billing; in the end they are nowhere."""
    _refuse(session, f"{topic}-small", "customer-7")
    _hold(session, topic, "customer-7")
    yield
    Relay(session.database, session.kafka, RelayConfig(on_undeliverable="hold", create_topics=True)).run(once=True)
    session.conn.execute("DELETE FROM txbox.outbox WHERE type = 'CustomerErased'")  # which the page itself has sent
    for table in ("outbox", "outbox_held", "held_messages", "processed_messages", "audit"):
        found = session.conn.execute(f"SELECT FROM txbox.{table} AS t WHERE t::text ~ 'customer-7'".encode())
        assert found.rowcount == 0, table
    assert session.conn.execute("SELECT FROM txbox.held_messages WHERE key = 'customer-7'").rowcount == 0


@contextmanager
def _handled(session: Session, topic: str) -> Iterator[None]:
    """Billing and shipping have handled a message; in the end billing has done so twice, and shipping once."""
    runs: Counter[str] = Counter()
    consumers = [_counting(name, topic, runs) for name in (f"{topic}-billing", f"{topic}-shipping")]

    def handle() -> None:
        Relay(session.database, session.kafka, RelayConfig(create_topics=True, partitions=1)).run(once=True)
        for consumer in consumers:
            Runner(consumer, session.database, session.kafka, ConsumerConfig()).run(once=True)

    with session.conn.transaction():
        handled = Outbox().add(session.conn, Message("OrderPlaced", {}, topic=topic, key="o-17"))
    handle()
    session.words |= {
        "0198f2c5-7f2e-7a4b-8a3e-5f0d1c2b3a49": str(handled),
        "billing": consumers[0].name,
        '"orders"': f'"{topic}"',
    }
    yield
    handle()
    assert runs == {consumers[0].name: 2, consumers[1].name: 1}


def _counting(name: str, topic: str, runs: Counter[str]) -> Consumer:
    consumer = Consumer(name, topics=[topic])

    @consumer.handler()
    def count(conn: psycopg.Connection, message: object) -> None:
        runs[name] += 1

    return consumer


def _hold(session: Session, topic: str, key: str) -> None:
    """A handler fails: a message is dead, and one waits behind it."""
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


def _refuse(session: Session, topic: str, key: str) -> None:
    """Two messages are too large for their topic."""
    admin = AdminClient({"bootstrap.servers": session.kafka.bootstrap_servers, "log_level": 0})
    admin.create_topics([NewTopic(topic, 1, 1, config={"max.message.bytes": "1000"})])[topic].result(20)
    eventually(lambda: admin.list_topics(topic, timeout=20).topics[topic].partitions)
    with session.conn.transaction():
        messages = [Message("Report", "x" * 3000, topic=topic, key=key) for key in ("a", key)]
        _, refused = Outbox().add_many(session.conn, messages)
    Relay(session.database, session.kafka, RelayConfig(on_undeliverable="hold")).run(once=True)
    session.words |= {"orders": topic, "0198f2c5-...": str(refused)}


@contextmanager
def _users(session: Session, topic: str) -> Iterator[None]:
    """Users that the page makes, or has, are gone in the end: roles are the whole server's."""
    session.conn.execute("BEGIN")
    session.conn.execute("CREATE ROLE billing; CREATE ROLE grafana; CREATE ROLE auditor")
    yield
    session.conn.execute("ROLLBACK")


#: what a page takes for granted, and what is to be so after it
STAGES: dict[str, Callable[[Session, str], AbstractContextManager[None]]] = {
    "README.md": _empty,
    "again.md": _handled,
    "held.md": _held,
    "kafka-errors.md": _refused,
    "personal-data.md": _customer,
    "roles.md": _users,
}
