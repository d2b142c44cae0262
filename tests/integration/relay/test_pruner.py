"""The leader's pruning, beside its publishing: neither holds the other up."""

import time
from random import Random
from typing import Any

import psycopg

from tests.integration.conftest import Publish
from tests.integration.relay import relay_process
from tests.integration.relay.stress_cursors import Seen, Verdict, judge, truth_of
from tests.integration.relay.stress_writer import prepare_tables
from tests.integration.relay.test_cursor_stress import have_written, hostile, write
from tests.integration.running import process, running
from tests.integration.topics import Topics
from tests.waiting import eventually
from txbox.daemon import Database, Kafka
from txbox.outbox import Message
from txbox.relay import Relay, RelayConfig

Connection = psycopg.Connection[Any]

ROWS = 2000
IDLE_KEY = 900
PRUNERS = "FROM pg_stat_activity WHERE application_name = 'txbox prune default' AND datname = current_database()"
COUNT = f"SELECT count(*) {PRUNERS}".encode()


def left(conn: Connection) -> int:
    """How many rows the outbox holds."""
    [count] = conn.execute("SELECT count(*) FROM txbox.outbox").fetchone() or (0,)
    return int(count)


def pruned(conn: Connection) -> int:
    """The last seq before the first row."""
    [first] = conn.execute("SELECT coalesce(min(seq), 1) - 1 FROM txbox.outbox").fetchone() or (0,)
    return int(first)


def test_a_relay_prunes_while_it_publishes_and_counts(
    conn: Connection, database: Database, kafka: Kafka, publish: Publish, topics: Topics, topic: str
):
    relay = Relay(database, kafka, RelayConfig(retention=0.001))
    with running(relay):
        ids = [id_ for _ in range(5) for id_ in publish(*(Message("T", topic=topic) for _ in range(200)))]
        eventually(lambda: left(conn) == 0)
        eventually(lambda: relay.registry.get_sample_value("txbox_relay_pruned_total") == 1000)
    assert topics.ids(topic) == list(map(str, ids))


def test_a_retention_of_0_keeps_everything_and_needs_no_session(
    conn: Connection, database: Database, kafka: Kafka, publish: Publish, topics: Topics, topic: str
):
    publish(Message("T", topic=topic))
    with running(Relay(database, kafka, RelayConfig(retention=0))):
        eventually(lambda: topics.count(topic) == 1)
        assert conn.execute(COUNT).fetchone() == (0,)
    assert left(conn) == 1


def test_pruning_survives_errors_and_the_relay_does_not_notice(
    conn: Connection, database: Database, kafka: Kafka, publish: Publish, topic: str
):
    relay = Relay(database, kafka, RelayConfig(retention=0.001))
    with running(relay):
        for _ in range(3):
            publish(Message("T", topic=topic))
            eventually(lambda: left(conn) == 0)
            assert conn.execute(f"SELECT pg_terminate_backend(pid) {PRUNERS}".encode()).fetchone() == (True,)
        publish(Message("T", topic=topic))
        eventually(lambda: left(conn) == 0)
        assert relay.registry.get_sample_value("txbox_relay_epoch") == 1, "the leader's own session was not touched"


def test_a_relay_that_is_told_to_stop_does_not_wait_for_a_batch_that_waits(
    conn: Connection, database: Database, kafka: Kafka, publish: Publish, topics: Topics, topic: str
):
    publish(Message("T", topic=topic))
    waits = COUNT + b" AND wait_event_type = 'Lock'"
    with psycopg.connect(database.url) as blocker:
        blocker.execute("SELECT FROM txbox.outbox FOR UPDATE")
        with running(Relay(database, kafka, RelayConfig(retention=0.001))):
            eventually(lambda: conn.execute(waits).fetchone() == (1,))
            began = time.monotonic()
        assert time.monotonic() - began < 5
    assert conn.execute(COUNT).fetchone() == (0,)
    assert left(conn) == 1


def test_relays_that_prune_and_are_killed_lose_nothing_of_hostile_writers(
    database: Database, kafka: Kafka, conn: Connection, topics: Topics
):
    prepare_tables(conn)
    topic, random = topics.make(partitions=3), Random(1)
    relay = (relay_process.__name__, database.url, kafka.bootstrap_servers, "0.001")
    with psycopg.connect(database.url) as idle, hostile(database, topic) as writers:
        for _ in range(4):
            before = pruned(conn)
            with process(*relay) as running_relay:
                eventually(lambda: pruned(conn) > before)  # noqa: B023  # it is called here
                conn.execute("SELECT pg_sleep(%s)", [random.uniform(0, 1.0)])
                running_relay.kill()
        eventually(lambda: have_written(writers, conn, ROWS // 2))
        write(idle, IDLE_KEY, topic)
        with process(*relay):
            eventually(lambda: have_written(writers, conn, ROWS))
            assert left(conn) > 0, "the idle writer's gap keeps what lies above it"
            idle.commit()
    with process(*relay):
        eventually(lambda: left(conn) == 0)
    published = [Seen.of((raw.header("id") or b"").decode(), raw.value) for raw in topics.read(topic)]
    assert judge(truth_of(conn), published)._replace(repeated=0) == Verdict()
