"""A consumer from Kafka to its effects: what is handled, what is committed, what it says of itself."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
from psycopg import Connection

from tests.integration.consumer.conftest import Effects
from tests.integration.running import running
from tests.integration.topics import Raw, Topics
from tests.waiting import eventually
from txbox.consumer import Consumer, ConsumerConfig, Received, Runner, TransactionLeft
from txbox.daemon import Database, Kafka
from txbox.sandbox import Sandbox
from txbox.schema import SchemaMissing


@pytest.fixture
def topic_name(topic: str) -> str:
    return topic


@pytest.fixture
def runner(consumer: Consumer, database: Database, kafka: Kafka) -> Callable[[], Runner]:
    """Make a runner, as each new process would."""
    return lambda: Runner(consumer, database, kafka, ConsumerConfig(backoff_cap=0.2))


Make = Callable[[], Runner]


def sample(runner: Runner, name: str, **labels: str) -> float:
    family = next(f for f in runner.registry.collect() if f"txbox_consumer_{name}".startswith(f.name))
    found = [s for s in family.samples if s.name == f"txbox_consumer_{name}" and labels.items() <= s.labels.items()]
    return sum(s.value for s in found)


def test_once_handles_what_is_there_and_commits_offsets(
    consumer: Consumer, runner: Make, effects: Effects, topics: Topics, topic: str
) -> None:
    consumer.handler("T")(effects.add)
    topics.put(topic, *(Raw.message() for _ in range(30)))
    runner().run(once=True)
    assert effects.ids() == topics.ids(topic)
    assert topics.committed(topics.prefix, topic) == 30


def test_once_ends_on_an_empty_topic(consumer: Consumer, runner: Make) -> None:
    consumer.handler("T")(lambda *_: None)
    runner().run(once=True)


def test_a_handler_gets_the_message_as_it_was_written(
    consumer: Consumer, runner: Make, topics: Topics, topic: str
) -> None:
    got: list[Received] = []
    consumer.handler("T")(lambda _, message: got.append(message))
    topics.put(topic, Raw.message("T", b'{"a": [1, null]}', "schlüssel".encode(), timestamp=1_700_000_000_123))
    runner().run(once=True)
    [message] = got
    assert (message.payload, message.key, message.attempt) == ({"a": [1, None]}, "schlüssel", 1)
    assert (message.topic, message.partition, message.offset) == (topic, 0, 0)
    assert message.timestamp is not None
    assert message.timestamp.isoformat() == "2023-11-14T22:13:20.123000+00:00"


def test_everything_delivered_again_has_no_effect_and_is_logged(
    consumer: Consumer,
    runner: Make,
    effects: Effects,
    topics: Topics,
    topic: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    consumer.handler("T")(effects.add)
    topics.put(topic, *(Raw.message() for _ in range(20)))
    runner().run(once=True)
    topics.rewind(topics.prefix, topic)
    again = runner()
    with caplog.at_level(logging.INFO):
        again.run(once=True)
    assert effects.ids() == topics.ids(topic)
    said = [getattr(line, "message_id", None) for line in caplog.records if line.message == "already processed"]
    assert said == topics.ids(topic)
    assert sample(again, "messages_total", topic=topic, outcome="duplicate") == 20
    assert topics.committed(topics.prefix, topic) == 20


def test_a_message_that_fails_lets_the_others_go_on_and_its_offset_too(
    consumer: Consumer, runner: Make, effects: Effects, topics: Topics, topic: str
) -> None:
    @consumer.handler("T")
    def handle(conn: Connection, message: Received) -> None:
        effects.add(conn, message)
        if message.offset == 5:
            raise ValueError("never")

    topics.put(topic, *(Raw.message() for _ in range(10)))
    runner().run(once=True)
    ids = topics.ids(topic)
    assert effects.ids() == [*ids[:5], *ids[6:]]
    assert topics.committed(topics.prefix, topic) == 10


def test_most_messages_that_fail_make_it_unready_until_one_passes_and_no_partition_loses_a_message(
    database: Database, kafka: Kafka, effects: Effects, topics: Topics
) -> None:
    topic = topics.make(partitions=2)
    consumer = Consumer(topic, topics=[topic])
    mended = False

    @consumer.handler("T")
    def handle(conn: Connection, message: Received) -> None:
        effects.add(conn, message)
        if not mended:
            raise ValueError("not yet")

    one = Runner(consumer, database, kafka, ConsumerConfig(backoff_cap=0.2))
    with running(one):
        topics.put(topic, *(Raw.message(partition=n % 2) for n in range(40)))
        eventually(lambda: "ValueError" in one.health.report().checks["handlers"].why)
        eventually(lambda: not one.health.report().ready)
        mended = True
        eventually(lambda: effects.count() == 40)
        eventually(lambda: one.health.report().ready)
    assert sorted(effects.ids()) == sorted(topics.ids(topic))
    assert topics.committed(topic, topic) == 40


def test_a_handler_that_tries_to_commit_is_refused_and_its_message_comes_again(
    consumer: Consumer, runner: Make, effects: Effects, topics: Topics, topic: str
) -> None:
    refused: list[Exception] = []

    @consumer.handler("T")
    def handle(conn: Connection, message: Received) -> None:
        effects.add(conn, message)
        if not refused:
            try:
                conn.commit()
            except Exception as error:
                refused.append(error)
                raise

    topics.put(topic, *(Raw.message() for _ in range(5)))
    with running(runner()):
        eventually(lambda: effects.count() == 5)
    assert refused
    assert sorted(effects.ids()) == sorted(topics.ids(topic))


def test_a_transaction_that_was_ended_ends_the_process(
    consumer: Consumer, runner: Make, topics: Topics, topic: str
) -> None:
    @consumer.handler("T")
    def sneaky(conn: Connection, _: Received) -> None:
        conn.pgconn.exec_(b"COMMIT")

    topics.put(topic, Raw.message())
    with pytest.raises(TransactionLeft, match="sneaky"):
        runner().run()
    assert topics.committed(topics.prefix, topic) == 0


def test_records_that_are_no_messages_do_not_stop_the_others(
    consumer: Consumer, runner: Make, effects: Effects, topics: Topics, topic: str, conn: Connection
) -> None:
    consumer.handler("T")(effects.add)
    bad = Raw(b"{", b"\xff", [("id", b"42"), ("type", b"T"), ("x", None), ("x", b"\xff")])
    topics.put(topic, Raw.message(), bad, bad, Raw(b"no headers"), Raw.message("Unknown"), Raw.message())
    one = runner()
    one.run(once=True)
    good = [raw for raw in topics.read(topic) if raw.header("type") == b"T" and raw.value == b"{}"]
    assert effects.ids() == [(raw.header("id") or b"").decode() for raw in good]
    rows = conn.execute("SELECT reason, type, key, payload FROM txbox.held_messages").fetchall()
    assert rows == [("unreadable", "T", b"\xff", b"{")]
    outcomes = {
        name: sample(one, "messages_total", topic=topic, outcome=name) for name in ("processed", "dead", "skipped")
    }
    assert outcomes == {"processed": 2, "dead": 1, "skipped": 2}


def test_metrics_tell_what_was_done(
    consumer: Consumer, runner: Make, effects: Effects, topics: Topics, topic: str
) -> None:
    consumer.handler("T")(effects.add)
    topics.put(topic, *(Raw.message() for _ in range(8)))
    one = runner()
    with running(one):
        eventually(lambda: sample(one, "messages_total", topic=topic, outcome="processed") == 8)
        eventually(lambda: sample(one, "partitions") == 1)
        assert sample(one, "handler_seconds_count", type="T") == 8
        assert sample(one, "end_to_end_latency_seconds_count", topic=topic) == 8
        assert sample(one, "transactions_total", outcome="committed") >= 1
        eventually(lambda: sample(one, "lag_messages", topic=topic, partition="0") == 0)


def test_a_database_without_tables_ends_it(consumer: Consumer, runner: Make, conn: Connection) -> None:
    conn.execute("DROP SCHEMA txbox CASCADE")
    with pytest.raises(SchemaMissing):
        runner().run()


def test_a_missing_topic_is_told_and_waited_for(
    database: Database, kafka: Kafka, effects: Effects, topics: Topics
) -> None:
    missing = topics.prefix + ".missing"
    late = Consumer(missing, topics=[missing])
    late.handler("T")(effects.add)
    one = Runner(late, database, Kafka(bootstrap_servers=kafka.bootstrap_servers, client=_EAGER))
    with running(one):
        eventually(lambda: missing in one.health.report().checks["topics"].why)
        assert not one.health.report().ready
        topics.make(".missing")
        topics.put(missing, Raw.message())
        eventually(lambda: effects.count() == 1)
        eventually(lambda: one.health.report().ready)


_EAGER: dict[str, Any] = {"topic.metadata.refresh.interval.ms": 500}


def test_postgres_may_go_and_come_back(
    sandbox: Sandbox, consumer: Consumer, runner: Make, effects: Effects, database: Database, topics: Topics, topic: str
) -> None:
    consumer.handler("T")(effects.add)
    one = runner()
    with running(one):
        topics.put(topic, *(Raw.message() for _ in range(200)))
        eventually(lambda: sample(one, "messages_total", topic=topic, outcome="processed") > 0)
        sandbox.postgres.restart()
        topics.put(topic, *(Raw.message() for _ in range(200)))
        eventually(lambda: sample(one, "messages_total", topic=topic, outcome="processed") >= 400)
    with Connection.connect(database.url) as conn:
        ids = [str(id_) for (id_,) in conn.execute("SELECT id FROM effect ORDER BY n")]
    assert ids == topics.ids(topic)


def test_kafka_may_go_and_come_back(
    sandbox: Sandbox, consumer: Consumer, runner: Make, effects: Effects, topics: Topics, topic: str
) -> None:
    consumer.handler("T")(effects.add)
    one = runner()
    topics.put(topic, *(Raw.message() for _ in range(100)))
    with running(one):
        eventually(lambda: effects.count() == 100)
        sandbox.kafka.stop(0)
        try:
            eventually(lambda: not one.health.report().checks["kafka"].ok)
        finally:
            sandbox.kafka.start(0)
        topics.put(topic, *(Raw.message() for _ in range(100)))
        eventually(lambda: effects.count() == 200)
        eventually(lambda: one.health.report().ready)
    assert effects.ids() == topics.ids(topic)
