"""The relay between a real PostgreSQL and a real Kafka: what it promises about messages."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from tests.integration.conftest import Publish
from tests.integration.relay import relay_process
from tests.integration.running import process, running
from tests.integration.topics import Topics, repeated
from tests.waiting import eventually
from txbox.daemon import Database, Kafka
from txbox.outbox import Message, Outbox
from txbox.relay import AnotherLeader, Relay

RelayOnce = Callable[..., Relay]


def test_a_message_arrives_as_it_was_written(
    conn: psycopg.Connection, publish: Publish, relay_once: RelayOnce, topics: Topics, topic: str
) -> None:
    headers: dict[str, str | bytes] = {"tenant": "ö", "raw": b"\xff\0"}
    [id_] = publish(Message("OrderPlaced", {"total": 3}, topic=topic, key="k-ü", headers=headers, reply_to="answers"))
    relay_once()
    [record] = topics.read(topic)
    assert (record.key, record.value) == ("k-ü".encode(), b'{"total":3}')
    expected = [("id", str(id_)), ("type", "OrderPlaced"), ("content-type", "application/json")]
    assert list(record.headers)[:3] == [(name, value.encode()) for name, value in expected]
    assert dict(list(record.headers)[3:]) == {"tenant": "ö".encode(), "raw": b"\xff\0", "reply-to": b"answers"}
    created = conn.execute("SELECT created_at FROM txbox.outbox").fetchone()
    assert created is not None
    assert abs(datetime.fromtimestamp(record.timestamp / 1000, UTC) - created[0]) < timedelta(milliseconds=1)


def test_no_key_and_no_payload_stay_none(publish: Publish, relay_once: RelayOnce, topics: Topics, topic: str) -> None:
    publish(Message("Noted", topic=topic), Message("Gone", None, topic=topic, key=7))
    relay_once()
    assert [(record.key, record.value) for record in topics.read(topic)] == [(None, None), (b"7", None)]


def test_an_aggregate_without_a_topic_is_routed_by_the_template(
    publish: Publish, relay_once: RelayOnce, topics: Topics
) -> None:
    topic = topics.make(".order")
    publish(Message("Placed", {}, aggregate="order"), Message("Placed", {}, aggregate="unused", topic=topic))
    relay_once(topic=topics.prefix + ".{aggregate}")
    assert topics.count(topic) == 2


def test_a_rolled_back_message_is_never_published(
    conn: psycopg.Connection, publish: Publish, relay_once: RelayOnce, topics: Topics, topic: str
) -> None:
    with conn.transaction(force_rollback=True):
        Outbox().add(conn, Message("Never", topic=topic))
    with conn.transaction():
        with conn.transaction(force_rollback=True):
            Outbox().add(conn, Message("NeverEither", topic=topic))
        Outbox().add(conn, Message("Kept", topic=topic))
    relay_once()
    relay_once()
    assert [record.header("type") for record in topics.read(topic)] == [b"Kept"]


def test_an_open_transaction_is_not_waited_for_and_not_passed_over(
    conn: psycopg.Connection, database: Database, publish: Publish, relay_once: RelayOnce, topics: Topics, topic: str
) -> None:
    with psycopg.connect(database.url) as late:
        Outbox().add(late, Message("Late", topic=topic))
        publish(Message("Early", topic=topic))
        relay_once()
        assert [record.header("type") for record in topics.read(topic)] == [b"Early"]
    relay_once()
    assert [record.header("type") for record in topics.read(topic)] == [b"Early", b"Late"]


def test_messages_of_a_key_stay_in_order_and_none_comes_twice(
    publish: Publish, relay_once: RelayOnce, topics: Topics
) -> None:
    topic = topics.make(partitions=3)
    for start in range(0, 2000, 500):
        publish(*(Message("N", n, topic=topic, key=n % 7) for n in range(start, start + 500)))
    relay_once(batch=300)
    records = topics.read(topic)
    by_key = {key: [int(r.value or b"") for r in records if r.key == key] for key in {r.key for r in records}}
    assert by_key == {str(key).encode(): list(range(key, 2000, 7)) for key in range(7)}


def test_a_restart_goes_on_after_the_saved_cursor(
    publish: Publish, relay_once: RelayOnce, topics: Topics, topic: str
) -> None:
    ids = publish(*(Message("First", topic=topic) for _ in range(50)))
    relay_once()
    ids += publish(*(Message("Second", topic=topic) for _ in range(50)))
    relay_once()
    relay_once()
    assert topics.ids(topic) == list(map(str, ids))


def test_relays_of_two_names_each_publish_everything(
    publish: Publish, relay_once: RelayOnce, topics: Topics, topic: str
) -> None:
    publish(Message("T", topic=topic))
    relay_once()
    relay_once(name="another")
    assert topics.count(topic) == 2


def test_tombstones_behind_a_size_cut_are_not_passed_over(
    publish: Publish, relay_once: RelayOnce, topics: Topics, topic: str
) -> None:
    big, gone = Message("Big", b"x" * 40_000, topic=topic), Message("Gone", topic=topic)
    small, huge = Message("Small", b"x", topic=topic), Message("Huge", b"x" * 200_000, topic=topic)
    ids = publish(*(big, big, big, gone, gone, big, gone, big, big, gone))
    ids += publish(small, *[gone] * 5, huge, gone)
    relay_once(in_flight_size=100_000)
    assert topics.ids(topic) == list(map(str, ids))


@pytest.mark.parametrize("config", [{"batch": 1}, {"in_flight": 3}, {"in_flight_size": 1}], ids=str)
def test_bounds_however_small_hold_nothing_up_for_ever(
    publish: Publish, relay_once: RelayOnce, topics: Topics, topic: str, config: dict[str, int]
) -> None:
    ids = publish(*(Message("T", {"n": n}, topic=topic) for n in range(20)))
    relay_once(**config)
    assert topics.ids(topic) == list(map(str, ids))


def test_the_outbox_has_no_dead_tuple_after_a_drain(
    conn: psycopg.Connection, publish: Publish, relay_once: RelayOnce, topic: str
) -> None:
    publish(*(Message("T", topic=topic) for _ in range(100)))
    relay_once()
    conn.execute("SELECT pg_stat_force_next_flush()")
    stats = conn.execute(
        "SELECT n_tup_ins, n_tup_upd, n_tup_del, n_dead_tup FROM pg_stat_user_tables "
        "WHERE relid = 'txbox.outbox'::regclass"
    ).fetchone()
    assert stats == (100, 0, 0, 0)


def test_once_leaves_the_work_to_a_relay_that_leads(
    database: Database, kafka: Kafka, relay_once: RelayOnce, leader: Relay
) -> None:
    with pytest.raises(AnotherLeader):
        relay_once()


def test_a_missing_topic_is_made_when_that_is_wanted(publish: Publish, relay_once: RelayOnce, topics: Topics) -> None:
    publish(Message("T", topic=topics.prefix))
    relay_once(create_topics=True, partitions=2)
    assert topics.count(topics.prefix) == 1


@pytest.fixture
def leader(database: Database, kafka: Kafka) -> Iterator[Relay]:
    """A relay that leads for as long as the test lasts."""
    relay = Relay(database, kafka)
    with running(relay):
        eventually(lambda: relay.health.report().role == "leader")
        yield relay


def test_messages_flow_while_it_runs(publish: Publish, leader: Relay, topics: Topics, topic: str) -> None:
    ids = [id_ for _ in range(20) for id_ in publish(Message("T", topic=topic, key="k"))]
    eventually(lambda: topics.count(topic) == 20)
    assert topics.ids(topic) == list(map(str, ids))


def test_a_standby_is_ready_and_says_what_it_is(database: Database, kafka: Kafka, leader: Relay) -> None:
    standby = Relay(database, kafka)
    with running(standby):
        eventually(lambda: standby.health.report().ready)
        assert standby.health.report().role == "standby"


def test_a_standby_goes_on_when_the_leader_is_killed(
    database: Database, kafka: Kafka, publish: Publish, topics: Topics, topic: str
) -> None:
    arguments = (relay_process.__name__, database.url, kafka.bootstrap_servers)
    with process(*arguments) as first, process(*arguments) as second:
        eventually(lambda: '"leading"' in first.log + second.log)
        leader, standby = (first, second) if '"leading"' in first.log else (second, first)
        standby.said("standing by")
        before = publish(*(Message("T", topic=topic) for _ in range(10)))
        eventually(lambda: topics.count(topic) == 10)
        leader.kill()
        after = publish(*(Message("T", topic=topic) for _ in range(10)))
        eventually(lambda: str(after[-1]) in topics.ids(topic), within=3)
        assert list(dict.fromkeys(topics.ids(topic))) == list(map(str, before + after))


def test_sigterm_drains_and_the_next_run_repeats_nothing(
    database: Database, kafka: Kafka, publish: Publish, relay_once: RelayOnce, topics: Topics, topic: str
) -> None:
    ids = publish(*(Message("T", {"n": n}, topic=topic) for n in range(5000)))
    with process(relay_process.__name__, database.url, kafka.bootstrap_servers) as relay:
        eventually(lambda: topics.count(topic) > 0)
        assert relay.terminate() == 0
    relay_once()
    assert sorted(topics.ids(topic)) == sorted(map(str, ids))


@pytest.mark.parametrize("point", ["relay.read", "relay.produced", "relay.acked", "relay.saved"])
def test_nothing_is_lost_when_it_is_killed_at(
    database: Database, kafka: Kafka, publish: Publish, relay_once: RelayOnce, topics: Topics, topic: str, point: str
) -> None:
    ids = publish(*(Message("T", topic=topic) for _ in range(1000)))
    with process(relay_process.__name__, database.url, kafka.bootstrap_servers, failpoint=f"{point}:kill") as relay:
        assert relay.ended() == -9
    relay_once()
    assert list(dict.fromkeys(topics.ids(topic))) == list(map(str, ids))
    assert bool(repeated(topics.ids(topic))) == (point == "relay.acked") or point in ("relay.produced", "relay.saved")
