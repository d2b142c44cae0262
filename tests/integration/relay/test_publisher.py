"""What Kafka refuses, and what it does not have: publishing stops there, loses nothing and repeats nothing."""

from collections.abc import Callable, Iterator
from uuid import UUID

import psycopg
import pytest
from confluent_kafka.admin import AdminClient

from tests.integration.conftest import Publish
from tests.integration.running import running
from tests.integration.topics import Topics
from tests.waiting import eventually
from txbox.daemon import Database, Kafka
from txbox.outbox import Message, Outbox
from txbox.relay import Relay, TopicMissing, Undeliverable

RelayOnce = Callable[..., Relay]


@pytest.fixture
def relay(database: Database, kafka: Kafka) -> Iterator[Relay]:
    """A relay that runs for as long as the test lasts."""
    relay = Relay(database, kafka)
    with running(relay):
        yield relay


def blocked(relay: Relay, times: int) -> str:
    """Wait until a relay was held up so many times; return what it says."""

    def stuck() -> bool:
        return (relay.registry.get_sample_value("txbox_relay_reconnects_total", {"server": "none"}) or 0) >= times

    eventually(stuck)
    report = relay.health.report()
    assert not report.ready
    return report.checks["publishing"].why


def test_a_missing_topic_holds_up_what_comes_after_it_until_it_is_made(
    publish: Publish, relay: Relay, topics: Topics
) -> None:
    there, missing = topics.make(".there"), topics.prefix + ".missing"
    before = publish(*(Message("T", topic=there) for _ in range(3)))
    after = publish(Message("T", topic=missing), Message("T", topic=there), Message("T", topic=missing))
    assert missing in blocked(relay, times=3)
    assert topics.ids(there) == list(map(str, before))
    topics.make(".missing")
    eventually(lambda: topics.count(missing) >= 2 and topics.count(there) >= 4)
    eventually(lambda: relay.health.report().ready)
    assert topics.ids(missing) == [str(after[0]), str(after[2])]
    assert topics.ids(there) == list(map(str, [*before, after[1]]))


def test_messages_before_one_without_a_topic_are_published(
    publish: Publish, relay_once: RelayOnce, topics: Topics, topic: str
) -> None:
    ids = publish(*(Message("T", topic=topic) for _ in range(10)), Message("T", topic=topics.prefix + ".no"))
    for _ in range(3):
        with pytest.raises(TopicMissing):
            relay_once()
    assert topics.ids(topic) == list(map(str, ids[:10]))


def test_a_message_too_large_for_its_topic_holds_up_those_after_it_and_repeats_none(
    publish: Publish, relay: Relay, topics: Topics
) -> None:
    topic = topics.make(max_message_bytes="100000")
    small, large = Message("Small", b"x", topic=topic), Message("Large", b"x" * 200_000, topic=topic)
    ids = publish(*[small] * 50, large, *[small] * 50)
    assert "100,000" in blocked(relay, times=4)
    assert topics.ids(topic) == list(map(str, ids[:50]))
    topics.configure(topic, "max.message.bytes", "300000")
    eventually(lambda: topics.count(topic) >= len(ids))
    eventually(lambda: relay.health.report().ready)
    assert topics.ids(topic) == list(map(str, ids))


def test_a_message_that_kafka_refuses_holds_up_those_after_it_and_repeats_none(
    publish: Publish, relay: Relay, topics: Topics
) -> None:
    topic = topics.make(cleanup_policy="compact")
    good, bad = Message("Good", topic=topic, key="k"), Message("NoKey", topic=topic)
    ids = publish(*[good] * 50, bad, *[good] * 50)
    assert str(ids[50]) in blocked(relay, times=4)
    assert topics.ids(topic) == list(map(str, ids[:50]))
    labels = {"topic": topic, "code": "INVALID_RECORD"}
    assert relay.registry.get_sample_value("txbox_relay_failures_total", labels)
    topics.configure(topic, "cleanup.policy", "delete")
    eventually(lambda: topics.count(topic) >= len(ids))
    eventually(lambda: relay.health.report().ready)
    eventually(lambda: topics.ids(topic) == list(map(str, ids)))


def test_two_refused_together_hold_up_those_after_them_one_after_the_other(
    publish: Publish, relay: Relay, topics: Topics
) -> None:
    topic = topics.make(cleanup_policy="compact")
    good, bad = Message("Good", topic=topic, key="k"), Message("NoKey", topic=topic)
    ids = publish(*[good] * 5, bad, *[good] * 5, bad, *[good] * 5)
    assert str(ids[5]) in blocked(relay, times=3)
    assert topics.ids(topic) == list(map(str, ids[:5]))
    topics.configure(topic, "cleanup.policy", "delete")
    eventually(lambda: topics.count(topic) >= len(ids))
    eventually(lambda: relay.health.report().ready)
    eventually(lambda: topics.ids(topic) == list(map(str, ids)))


def test_once_fails_at_a_message_that_cannot_be_published(
    publish: Publish, relay_once: RelayOnce, topics: Topics
) -> None:
    topic = topics.make(max_message_bytes="1000")
    ids = publish(Message("Small", topic=topic), Message("Large", "x" * 2000, topic=topic))
    for _ in range(3):
        with pytest.raises(Undeliverable) as caught:
            relay_once()
        assert caught.value.message_id == str(ids[1])
    assert topics.ids(topic) == [str(ids[0])]


@pytest.mark.parametrize("topic", ["no such name!", "..", "x" * 300])
def test_a_row_whose_topic_can_be_none_is_named(
    conn: psycopg.Connection, publish: Publish, relay_once: RelayOnce, topics: Topics, topic: str
) -> None:
    ids = publish(Message("T", topic=topics.make()))
    row = conn.execute("INSERT INTO txbox.outbox (type, topic) VALUES ('T', %s) RETURNING id", (topic,)).fetchone()
    for create in (False, True):
        with pytest.raises(Undeliverable) as caught:
            relay_once(create_topics=create)
        assert row == (UUID(caught.value.message_id),)
    assert topics.ids(topics.prefix) == list(map(str, ids))


@pytest.mark.parametrize("headers", ['["a"]', '{"a": {"base64": "?"}, "id": "x"}', '"text"', "null"])
def test_a_row_with_odd_headers_holds_nothing_up(
    conn: psycopg.Connection, relay_once: RelayOnce, topics: Topics, topic: str, headers: str
) -> None:
    insert = "INSERT INTO txbox.outbox (type, topic, headers) VALUES ('T', %s, %s) RETURNING id"
    row = conn.execute(insert, (topic, headers)).fetchone()
    relay_once()
    assert row == tuple(map(UUID, topics.ids(topic)))


def test_many_small_messages_pass_a_topic_that_takes_only_small_batches(
    publish: Publish, relay_once: RelayOnce, topics: Topics
) -> None:
    topic = topics.make(max_message_bytes="100000")
    ids = publish(*(Message("T", b"x" * 300, topic=topic) for _ in range(3000)))
    relay_once()
    assert topics.ids(topic) == list(map(str, ids))


def test_a_limit_may_fall_below_what_fills_a_batch_while_it_runs(
    publish: Publish, relay: Relay, topics: Topics, topic: str
) -> None:
    message = Message("T", b"x" * 300, topic=topic)
    ids = publish(*[message] * 10)
    eventually(lambda: topics.count(topic) == 10)
    topics.configure(topic, "max.message.bytes", "50000")
    ids += publish(*[message] * 3000)
    eventually(lambda: set(topics.ids(topic)) == set(map(str, ids)))


def test_topics_of_different_limits_keep_their_order(publish: Publish, relay_once: RelayOnce, topics: Topics) -> None:
    wide, narrow = topics.make(".wide"), topics.make(".narrow", max_message_bytes="50000")
    ids = publish(*(Message("T", b"x" * 1000, topic=narrow if n % 500 > 250 else wide) for n in range(2000)))
    relay_once(batch=100)
    assert topics.ids(wide) == [str(id_) for n, id_ in enumerate(ids) if n % 500 <= 250]
    assert topics.ids(narrow) == [str(id_) for n, id_ in enumerate(ids) if n % 500 > 250]


@pytest.mark.parametrize("size", [900_000, 3_000_000])
def test_a_large_message_passes_where_its_topic_allows_it(
    conn: psycopg.Connection, relay_once: RelayOnce, topics: Topics, size: int
) -> None:
    topic = topics.make(max_message_bytes="4000000")
    with conn.transaction():
        Outbox(max_payload=size).add(conn, Message("Large", b"x" * size, topic=topic))
    relay_once()
    assert [len(record.value or b"") for record in topics.read(topic)] == [size]


def test_a_topic_that_is_deleted_and_made_again_gets_the_rest(
    publish: Publish, relay: Relay, topics: Topics, admin: AdminClient
) -> None:
    topic = topics.make()
    publish(Message("Before", topic=topic))
    eventually(lambda: relay.health.report().ready and topics.count(topic) == 1)
    admin.delete_topics([topic])[topic].result(20)
    after = publish(Message("After", topic=topic))
    topics.make()
    eventually(lambda: topics.ids(topic) == list(map(str, after)))
