"""From Debezium to the relay and back under writers, as docs/coming-from-debezium.md says: nothing lost or repeated."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import Connection, errors

from tests.integration.running import running
from tests.integration.schema.debezium import INSERT, TABLE, in_order, make_orders, writers
from tests.integration.topics import Topics
from tests.soak.connect import Connect, connect
from tests.waiting import eventually
from txbox.daemon import Database, Kafka
from txbox.relay import Relay, RelayConfig
from txbox.schema import adoption_sql

ROUTER = {
    "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
    "database.user": "postgres",
    "database.password": "not asked for",
    "plugin.name": "pgoutput",
    "publication.name": "dbz_publication",
    "publication.autocreate.mode": "filtered",
    "table.include.list": "public.outboxevent",
    "tombstones.on.delete": "false",
    "poll.interval.ms": "100",
    "transforms": "outbox",
    "transforms.outbox.type": "io.debezium.transforms.outbox.EventRouter",
}


@pytest.fixture
def worker(kafka: Kafka, tmp_path: Path) -> Iterator[Connect]:
    with connect(kafka.bootstrap_servers, tmp_path) as worker:
        yield worker


@pytest.fixture
def connector(worker: Connect, conn: Connection, database: Database) -> Iterator[str]:
    """A connector that streams; its name is that of its slot."""
    conn.execute(TABLE.format(payload="jsonb").encode())
    name, url = f"dbz_{uuid4().hex[:8]}", urlsplit(database.url)
    where = {"database.hostname": str(url.hostname), "database.port": str(url.port), "database.dbname": url.path[1:]}
    worker.ask("PUT", f"/connectors/{name}/config", {**ROUTER, **where, "topic.prefix": name, "slot.name": name})
    slot = "SELECT active FROM pg_replication_slots WHERE slot_name = %s"
    eventually(lambda: conn.execute(slot, (name,)).fetchone() == (True,), within=60)
    yield name
    worker.ask("DELETE", f"/connectors/{name}")
    eventually(lambda: conn.execute(slot, (name,)).fetchone() == (False,), within=60)
    conn.execute("SELECT pg_drop_replication_slot(%s)", (name,))


def in_one(database: Database, *statements: str) -> None:
    """Run statements in one transaction, again while somebody writes for longer than half a second."""

    def attempt() -> bool:
        try:
            with psycopg.connect(database.url) as conn:
                conn.execute("SET LOCAL lock_timeout = '500ms'")
                for statement in statements:
                    conn.execute(statement.encode())
        except errors.LockNotAvailable:
            return False
        return True

    eventually(attempt, within=60)


def test_there_and_back(
    worker: Connect, connector: str, conn: Connection, database: Database, kafka: Kafka, topics: Topics
):
    make_orders(conn)
    aggregate, prefix = topics.prefix, topics.prefix
    topics.prefix = "outbox.event."
    topic, marker = topics.make(aggregate, partitions=3), topics.make(f"{prefix}-marker")
    insert = INSERT.replace("%s, %s, %s, %s, %s", f"'{uuid4()}', '{prefix}-marker', '1', 'Switched', '{{}}'")
    relay = Relay(database, kafka, RelayConfig())
    with writers(database, aggregate) as writing:
        eventually(lambda: topics.count(topic) > 500, within=60)
        in_one(
            database,
            insert,
            adoption_sql(conn, "outboxevent"),
            "ALTER PUBLICATION dbz_publication DROP TABLE outboxevent",
        )
        eventually(lambda: topics.count(marker), within=60)
        worker.ask("PUT", f"/connectors/{connector}/stop")
        eventually(lambda: worker.state(connector) == ("STOPPED", []), within=60)
        debezium = topics.count(topic)
        with running(relay):
            eventually(lambda: topics.count(topic) > debezium + 500, within=60)
            in_one(
                database,
                "DROP FUNCTION txbox.adopt_public_outboxevent() CASCADE",
                "ALTER PUBLICATION dbz_publication ADD TABLE outboxevent",
            )
            eventually(lambda: pending(conn) == 0, within=60)
        relayed = topics.count(topic)
        worker.ask("PUT", f"/connectors/{connector}/resume")
        eventually(lambda: topics.count(topic) > relayed + 500, within=60)
    written = [one for writer in writing for one in writer.result()]
    eventually(lambda: topics.count(topic) >= len(written), within=60)
    published = [UUID(id_) for id_ in topics.ids(topic)]
    assert sorted(published) == sorted(one.id for one in written)
    assert in_order(published, written)


def pending(conn: Connection) -> int:
    """How many rows of the outbox the saved cursor has not done."""
    undone = "SELECT FROM txbox.outbox AS o, txbox.relay_cursor AS c WHERE o.seq > c.tail OR c.gaps @> o.seq"
    return conn.execute(undone).rowcount
