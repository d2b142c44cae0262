"""What waits: a relay that is not there or is stuck, refused and dead messages, consumers that nobody runs."""

from collections.abc import Callable
from contextlib import ExitStack

import psycopg
from psycopg import Connection

from tests.integration.conftest import Publish
from tests.integration.consumer.holding import Holding
from tests.integration.doctor.conftest import Look
from tests.integration.running import running
from tests.integration.topics import Topics
from tests.waiting import eventually
from txbox.consumer import Consumer, Runner
from txbox.daemon import Database, Kafka
from txbox.doctor import Level
from txbox.outbox import Message
from txbox.relay import Relay

RelayOnce = Callable[..., Relay]


def leads(relay: Relay) -> None:
    eventually(lambda: relay.registry.get_sample_value("txbox_relay_leader"))


def test_no_relay_runs(look: Look, conn: Connection, publish: Publish, relay_once: RelayOnce, topic: str) -> None:
    assert look()["relay"].level is Level.WARN
    publish(Message("T", {}, topic=topic))
    relay_once()
    conn.execute("UPDATE txbox.relay_cursor SET saved_at = now() - interval '1 minute'")
    assert (look()["relay"].level, "nothing waits just now" in look()["relay"].why) == (Level.WARN, True)
    publish(Message("T", {}, topic=topic), Message("T", {}, topic=topic))
    found = look()["relay"]
    assert (found.level, found.mend) == (Level.FAIL, "txbox relay run")
    assert "nobody leads relay 'default', and 2 messages wait" in found.why


def test_one_relay_and_its_standby(look: Look, database: Database, kafka: Kafka) -> None:
    with ExitStack() as stack:
        first = Relay(database, kafka)
        stack.enter_context(running(first))
        leads(first)
        found = look()
        assert found["relay"].level is Level.OK
        assert (found["standby"].level, "one process" in found["standby"].why) == (Level.WARN, True)
        stack.enter_context(running(Relay(database, kafka)))
        eventually(lambda: look()["standby"].level is Level.OK)


def test_a_relay_that_cannot_go_on(
    look: Look, conn: Connection, database: Database, kafka: Kafka, publish: Publish, txbox_topic: str
) -> None:
    """Its topic is missing: it gives up the lead between its tries, and is there all the same."""
    publish(Message("T", {}, topic=f"{txbox_topic}.none"))
    conn.execute("UPDATE txbox.outbox SET created_at = now() - interval '5 minutes'")
    relay = Relay(database, kafka)
    with running(relay):
        eventually(lambda: (relay.registry.get_sample_value("txbox_relay_epoch") or 0) >= 2)
        found = look()["relay"]
    assert (found.level, "the cursor of relay 'default' is stale" in found.why) == (Level.FAIL, True)
    assert "1 messages wait, the oldest for 3" in found.why
    assert "/readyz" in found.mend


def test_a_leader_that_stands_still(
    look: Look, conn: Connection, database: Database, publish: Publish, relay_once: RelayOnce, topic: str
) -> None:
    relay_once()
    publish(Message("T", {}, topic=topic))
    conn.execute("UPDATE txbox.outbox SET created_at = now() - interval '5 minutes'")
    conn.execute("UPDATE txbox.relay_cursor SET saved_at = now() - interval '4 minutes'")
    with psycopg.connect(database.url) as frozen:
        frozen.execute("SELECT pg_advisory_lock(hashtextextended('txbox relay txbox default', 0))")
        found = look()["relay"]
    assert (found.level, "leads, the cursor was saved 240 s ago" in found.why) == (Level.FAIL, True)


def test_a_cursor_that_is_wanted_no_more_keeps_rows(
    look: Look, conn: Connection, publish: Publish, relay_once: RelayOnce, topic: str
) -> None:
    publish(Message("T", {}, topic=topic))
    relay_once(name="of-last-year")
    conn.execute("UPDATE txbox.relay_cursor SET saved_at = now() - interval '1 year'")
    found = look()["other relays"]
    assert (found.level, "'of-last-year'" in found.why) == (Level.WARN, True)
    assert 'DELETE FROM "txbox"."relay_cursor" WHERE name = \'of-last-year\'' in found.mend


def test_what_kafka_refused(look: Look, publish: Publish, relay_once: RelayOnce, topics: Topics) -> None:
    small = topics.make(max_message_bytes="2000")
    publish(Message("T", {"text": "x" * 3000}, topic=small, key="k"), Message("T", {}, topic=small, key="k"))
    relay_once(on_undeliverable="hold")
    found = look()["refused"]
    assert (found.level, "1 messages that Kafka refused" in found.why) == (Level.FAIL, True)
    assert "txbox outbox held" in found.mend


def test_what_is_dead(look: Look, conn: Connection) -> None:
    holding = Holding(conn)
    holding.head(b"waits")
    assert (look()["dead"].level, "1 messages failed" in look()["dead"].why) == (Level.WARN, True)
    holding.dead(b"k")
    holding.follower(b"k")
    found = look()["dead"]
    assert (found.level, "billing 1; 1 keys wait behind them" in found.why) == (Level.FAIL, True)
    assert "txbox held list --state dead" in found.mend


def test_a_consumer_that_nobody_runs(
    look: Look,
    database: Database,
    kafka: Kafka,
    publish: Publish,
    relay_once: RelayOnce,
    topic: str,
) -> None:
    consumer = Consumer(topic, topics=[topic])
    consumer.handler("T")(lambda conn, message: None)
    publish(Message("T", {}, topic=topic))
    relay_once()
    Runner(consumer, database, kafka).run(once=True)
    assert look()["lag"].level is Level.OK
    publish(*[Message("T", {}, topic=topic) for _ in range(3)])
    relay_once()
    found = look()["lag"]
    assert (found.level, found.why) == (Level.FAIL, f"nobody runs consumer {topic!r}, and 3 messages wait for it")
    assert "txbox consume" in found.mend


def test_a_relay_of_another_name_stands_by_for_nobody(look: Look, database: Database, txbox_servers: object) -> None:
    with psycopg.connect(database.url, application_name="txbox relay other"):
        assert "no process" in look()["standby"].why
