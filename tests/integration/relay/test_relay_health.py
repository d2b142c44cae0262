"""Servers that go away and come back while a relay runs; and what it says of itself meanwhile."""

from collections.abc import Callable, Iterator

import psycopg
import pytest

from tests.integration.conftest import Publish
from tests.integration.running import running
from tests.integration.topics import Topics
from tests.waiting import eventually
from txbox.daemon import Database, Kafka
from txbox.outbox import Message, Outbox
from txbox.relay import Relay, RelayConfig
from txbox.sandbox import Sandbox


@pytest.fixture
def relay(database: Database, kafka: Kafka) -> Iterator[Relay]:
    relay = Relay(database, kafka, RelayConfig(batch=100))
    with running(relay):
        eventually(lambda: relay.health.report().ready)
        yield relay


def sample(relay: Relay, name: str, **labels: str) -> float:
    return relay.registry.get_sample_value(f"txbox_{name}", labels) or 0.0


def write(database: Database, topic: str, count: int) -> list[str]:
    """Commit messages on a connection of their own: the test's may have been cut."""
    with psycopg.connect(database.url) as conn:
        return [str(id_) for id_ in Outbox().add_many(conn, (Message("T", topic=topic) for _ in range(count)))]


def arrived(topics: Topics, topic: str) -> list[str]:
    """The ids of a topic, without repeats."""
    return list(dict.fromkeys(topics.ids(topic)))


def test_an_idle_relay_is_ready_again_when_kafka_is_back(sandbox: Sandbox, relay: Relay, topic: str) -> None:
    sandbox.kafka.stop(0)
    try:
        eventually(lambda: not relay.health.report().ready)
    finally:
        sandbox.kafka.start(0)
    eventually(lambda: relay.health.report().ready)


def test_kafka_may_be_killed(sandbox: Sandbox, database: Database, relay: Relay, topics: Topics, topic: str) -> None:
    ids = write(database, topic, 1000)
    eventually(lambda: sample(relay, "relay_published_total", topic=topic) > 0)
    sandbox.kafka.kill(0)
    try:
        ids += write(database, topic, 200)
        eventually(lambda: not relay.health.report().checks["kafka"].ok)
    finally:
        sandbox.kafka.start(0)
    eventually(lambda: sample(relay, "relay_published_total", topic=topic) >= 1200)
    eventually(lambda: relay.health.report().ready)
    assert arrived(topics, topic) == ids


@pytest.mark.parametrize("fail", ["restart", "kill"])
def test_postgres_may_go_and_come_back(
    sandbox: Sandbox, database: Database, relay: Relay, topics: Topics, topic: str, fail: str
) -> None:
    ids = write(database, topic, 1000)
    if fail == "kill":
        sandbox.postgres.kill()
        sandbox.postgres.start()
    else:
        sandbox.postgres.restart()
    ids += write(database, topic, 200)
    eventually(lambda: sample(relay, "relay_reconnects_total", server="postgres") > 0)
    eventually(lambda: relay.health.report().ready and len(arrived(topics, topic)) == len(ids))
    assert arrived(topics, topic) == ids


def test_a_session_that_is_terminated_costs_no_message(
    conn: psycopg.Connection, publish: Publish, relay: Relay, topics: Topics, topic: str
) -> None:
    ids = []
    for times in (1, 2, 3):
        ids += [str(id_) for id_ in publish(*(Message("T", topic=topic) for _ in range(300)))]
        terminated = conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'txbox relay default' "
            "AND datname = current_database()"
        ).fetchall()
        assert terminated == [(True,)]
        eventually(lambda: sample(relay, "relay_reconnects_total", server="postgres") == times)  # noqa: B023  # now
        eventually(lambda: relay.health.report().ready)
    eventually(lambda: len(arrived(topics, topic)) == 900)
    assert arrived(topics, topic) == ids


def test_a_second_stop_does_not_wait_for_kafka(sandbox: Sandbox, database: Database, kafka: Kafka, topic: str) -> None:
    relay = Relay(database, kafka)
    with running(relay) as ended:
        eventually(lambda: relay.health.report().ready)
        write(database, topic, 1)
        eventually(lambda: sample(relay, "relay_published_total", topic=topic) == 1)
        sandbox.kafka.stop(0)
        try:
            write(database, topic, 1)
            eventually(lambda: sample(relay, "relay_in_flight_messages") == 1)
            relay.stop()
            with pytest.raises(TimeoutError):
                ended.result(0.5)
            relay.stop()
            ended.result(5)
        finally:
            sandbox.kafka.start(0)


def test_what_is_ready_and_why(relay: Relay) -> None:
    report = relay.health.report()
    assert (report.role, set(report.checks)) == ("leader", {"database", "kafka", "publishing"})


def test_a_database_without_tables_ends_it_with_the_mend(
    relay_once: Callable[..., Relay], conn: psycopg.Connection
) -> None:
    conn.execute("DROP SCHEMA txbox CASCADE")
    with pytest.raises(Exception, match="txbox db migrate"):
        relay_once()


def test_metrics_tell_what_was_published(
    publish: Publish, conn: psycopg.Connection, database: Database, relay: Relay, topic: str
) -> None:
    publish(*(Message("T", topic=topic) for _ in range(10)))
    eventually(lambda: sample(relay, "relay_published_total", topic=topic) == 10)
    assert sample(relay, "relay_delivery_latency_seconds_count", topic=topic) == 10
    assert 0 < sample(relay, "relay_delivery_latency_seconds_sum", topic=topic) < 10
    assert sample(relay, "relay_batch_messages_sum") == 10
    assert sample(relay, "relay_read_seconds_count") > 0
    assert sample(relay, "relay_leader") == sample(relay, "relay_epoch") == 1
    assert sample(relay, "relay_source_info", source="poll") == 1
    assert sample(relay, "relay_last_success_timestamp_seconds") > 0


def test_metrics_tell_of_an_open_writer(
    conn: psycopg.Connection, database: Database, kafka: Kafka, publish: Publish, topic: str
) -> None:
    with psycopg.connect(database.url) as late:
        Outbox().add(late, Message("Late", topic=topic))
        publish(Message("Early", topic=topic))
        Relay(database, kafka).run(once=True)
        relay = Relay(database, kafka)
        with running(relay):
            eventually(lambda: sample(relay, "relay_gaps") == 1)
            eventually(lambda: sample(relay, "relay_oldest_gap_age_seconds") > 0)


def test_metrics_tell_what_waits(publish: Publish, database: Database, kafka: Kafka, topics: Topics) -> None:
    missing = topics.prefix + ".missing"
    publish(Message("T", topic=topics.make()), Message("T", topic=missing))
    relay = Relay(database, kafka)
    with running(relay):
        eventually(lambda: sample(relay, "outbox_pending_messages") == 1)
        publish(*(Message("T", topic=missing) for _ in range(4)))
        eventually(lambda: sample(relay, "outbox_pending_messages") == 5)
        assert sample(relay, "outbox_oldest_pending_age_seconds") > 0


def test_who_led_before_tells_nothing_of_the_outbox_while_it_stands_by(
    database: Database, kafka: Kafka, relay: Relay
) -> None:
    """Else its oldest row would age for ever, and somebody would be paged for rows that another has published."""
    follower = Relay(database, kafka)
    follower._metrics.outlook(5, 1.0)
    with running(follower):
        eventually(lambda: follower.health.report().ready)
        assert relay.health.report().role == "leader"
        assert sample(follower, "outbox_oldest_pending_age_seconds") == sample(follower, "outbox_pending_messages") == 0
