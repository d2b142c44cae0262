"""Messages that Kafka refuses are put aside, the others flow; and people bring them back, in order."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

import psycopg
import pytest

from tests.integration.conftest import Publish
from tests.integration.running import Process, process, running
from tests.integration.topics import Topics
from tests.waiting import eventually
from txbox.daemon import Database, Kafka
from txbox.outbox import Message
from txbox.relay import Cursor, Relay, RelayConfig, Superseded, TopicMissing
from txbox.relay.batch import Diverted, Reason
from txbox.relay.holding import Holding
from txbox.relay.ledger import Ledger
from txbox.relay.wishes import Wish, wish

RelayOnce = Callable[..., Relay]

GAUGE = "txbox_outbox_held_messages"


@pytest.fixture
def relay(database: Database, kafka: Kafka) -> Iterator[Relay]:
    """A relay that holds what Kafka refuses."""
    relay = Relay(database, kafka, RelayConfig(on_undeliverable="hold"))
    with running(relay):
        yield relay


@pytest.fixture
def small(topics: Topics) -> str:
    """A topic that takes 1,000 bytes a record, with one partition."""
    return topics.make(max_message_bytes="1000")


def held(conn: psycopg.Connection) -> list[tuple[str, str]]:
    """Id and reason of all that is held, in order."""
    rows = conn.execute("SELECT id, reason FROM txbox.outbox_held ORDER BY seq").fetchall()
    return [(str(id_), reason) for id_, reason in rows]


def large(topic: str, key: str | None = "a") -> Message:
    return Message("Large", "x" * 3000, topic=topic, key=key)


def fine(topic: str, key: str | None = "a") -> Message:
    return Message("Fine", topic=topic, key=key)


def strings(ids: list[UUID]) -> list[str]:
    return list(map(str, ids))


def test_other_keys_flow_and_those_of_the_key_wait_behind_it(
    conn: psycopg.Connection, publish: Publish, relay: Relay, topics: Topics, small: str
) -> None:
    ids = strings(publish(fine(small), large(small), fine(small, "b"), fine(small), fine(small, None)))
    ids += strings(publish(fine(small), fine(small, "b")))
    eventually(lambda: len(held(conn)) == 3)
    assert held(conn) == [(ids[1], "refused"), (ids[3], "follows"), (ids[5], "follows")]
    eventually(lambda: topics.ids(small) == [ids[0], ids[2], ids[4], ids[6]])
    eventually(lambda: relay.registry.get_sample_value(GAUGE) == 3)
    assert relay.health.report().ready
    assert "outbox held" in relay.health.report().checks["publishing"].why


def test_what_is_held_is_a_copy_of_the_row(
    conn: psycopg.Connection, publish: Publish, relay_once: RelayOnce, topics: Topics
) -> None:
    topics.make(".order", max_message_bytes="1000")
    message = Message("Placed", "x" * 3000, aggregate="order", key="k", headers={"a": "b", "raw": b"\xff"})
    publish(message)
    relay_once(on_undeliverable="hold", topic=topics.prefix + ".{aggregate}")
    columns = "seq, id, aggregatetype, aggregateid, type, payload, headers, created_at"
    both = f"SELECT {columns} FROM txbox.outbox_held UNION SELECT {columns} FROM txbox.outbox"  # noqa: S608  # ours
    assert conn.execute(both.encode()).rowcount == 1
    kept = conn.execute("SELECT topic, error, wish, cursor_name FROM txbox.outbox_held").fetchone()
    assert kept is not None
    assert (kept[0], kept[2], kept[3]) == (topics.prefix + ".order", None, "default")
    assert "1,000" in kept[1]


def test_rows_without_a_key_hold_nobody(
    conn: psycopg.Connection, publish: Publish, relay_once: RelayOnce, topics: Topics, small: str
) -> None:
    ids = strings(publish(large(small, None), fine(small, None), large(small, None), fine(small)))
    relay_once(on_undeliverable="hold")
    assert held(conn) == [(ids[0], "refused"), (ids[2], "refused")]
    assert topics.ids(small) == [ids[1], ids[3]]


def test_what_only_kafka_can_refuse_is_found_and_held_and_nothing_is_repeated(
    conn: psycopg.Connection, publish: Publish, relay: Relay, topics: Topics
) -> None:
    topic = topics.make(cleanup_policy="compact")
    good, bad = fine(topic), Message("NoKey", topic=topic)
    ids = strings(publish(*[good] * 20, bad, *[good] * 20, bad, *[good] * 20))
    eventually(lambda: held(conn) == [(ids[20], "refused"), (ids[41], "refused")])
    expected = [id_ for n, id_ in enumerate(ids) if n not in (20, 41)]
    eventually(lambda: topics.count(topic) == len(expected))
    assert topics.ids(topic) == expected
    assert relay.health.report().ready
    labels = {"topic": topic, "code": "INVALID_RECORD"}
    assert relay.registry.get_sample_value("txbox_relay_failures_total", labels)
    topics.configure(topic, "cleanup.policy", "delete")
    wish(conn, Wish.RETRY, topic=topic)
    eventually(lambda: held(conn) == [])
    assert topics.ids(topic) == [*expected, ids[20], ids[41]]


def test_a_topic_that_can_be_none_is_held_and_a_missing_one_is_waited_for(
    conn: psycopg.Connection, publish: Publish, relay_once: RelayOnce, topics: Topics, topic: str
) -> None:
    conn.execute("INSERT INTO txbox.outbox (type, topic) VALUES ('T', 'no such name!')")
    ids = strings(publish(fine(topic), fine(topics.prefix + ".missing")))
    with pytest.raises(TopicMissing):
        relay_once(on_undeliverable="hold")
    assert [reason for _, reason in held(conn)] == ["refused"]
    assert topics.ids(topic) == ids[:1]


def test_a_retry_keeps_the_order_of_the_key_once_the_topic_takes_it(
    conn: psycopg.Connection, publish: Publish, relay: Relay, topics: Topics, small: str
) -> None:
    ids = strings(publish(fine(small), large(small), fine(small), large(small), fine(small)))
    eventually(lambda: len(held(conn)) == 4)
    wish(conn, Wish.RETRY, key="a")
    eventually(lambda: conn.execute("SELECT 1 FROM txbox.outbox_held WHERE attempts = 1").fetchone())
    assert [reason for _, reason in held(conn)] == ["refused", "follows", "follows", "follows"]
    topics.configure(small, "max.message.bytes", "100000")
    wish(conn, Wish.RETRY, key="a")
    ids += [id_ for _ in range(20) for id_ in strings(publish(fine(small)))]
    eventually(lambda: topics.count(small) == len(ids))
    assert topics.ids(small) == ids
    eventually(lambda: relay.registry.get_sample_value(GAUGE) == 0)
    ids += strings(publish(fine(small)))
    eventually(lambda: topics.ids(small) == ids)
    assert held(conn) == []


def test_a_key_to_which_messages_keep_coming_gets_free_again(
    conn: psycopg.Connection, publish: Publish, relay: Relay, topics: Topics, small: str
) -> None:
    ids = strings(publish(large(small), *[fine(small)] * 3000))
    eventually(lambda: len(held(conn)) == 3001)
    topics.configure(small, "max.message.bytes", "100000")
    wish(conn, Wish.RETRY, topic=small)

    def freed() -> bool:
        ids.extend(strings(publish(fine(small))))
        return not held(conn)

    eventually(freed, every=0.001)
    eventually(lambda: topics.count(small) == len(ids))
    assert topics.ids(small) == ids


def test_a_key_is_not_free_while_a_row_of_it_is_about_to_be_held(
    conn: psycopg.Connection, database: Database, kafka: Kafka, publish: Publish, topics: Topics, small: str
) -> None:
    with running(Relay(database, kafka, RelayConfig(on_undeliverable="hold", save_every=10.0))):
        ids = strings(publish(large(small)))
        eventually(lambda: held(conn))
        ids += strings(publish(fine(small)))
        topics.configure(small, "max.message.bytes", "100000")
        wish(conn, Wish.RETRY, topic=small)
        eventually(lambda: topics.ids(small))
        ids += strings(publish(fine(small)))
        eventually(lambda: topics.count(small) == 3)
    assert topics.ids(small) == ids


def test_a_skip_drops_that_message_alone_and_frees_those_behind_it(
    conn: psycopg.Connection, publish: Publish, relay: Relay, topics: Topics, small: str
) -> None:
    ids = strings(publish(large(small), fine(small), large(small), fine(small), fine(small)))
    eventually(lambda: len(held(conn)) == 5)
    wish(conn, Wish.SKIP, message=UUID(ids[3]))
    eventually(lambda: len(held(conn)) == 4)
    assert topics.ids(small) == []
    wish(conn, Wish.SKIP, key="a")
    eventually(lambda: held(conn) == [(ids[2], "refused"), (ids[4], "follows")])
    assert topics.ids(small) == [ids[1]]
    wish(conn, Wish.SKIP, error="max.message.bytes")
    eventually(lambda: held(conn) == [])
    assert topics.ids(small) == [ids[1], ids[4]]


def test_a_restart_knows_what_is_held_whatever_the_policy_is_then(
    conn: psycopg.Connection, publish: Publish, relay_once: RelayOnce, topics: Topics, small: str
) -> None:
    ids = strings(publish(large(small)))
    relay_once(on_undeliverable="hold")
    ids += strings(publish(fine(small), fine(small, "b")))
    relay_once(on_undeliverable="hold")
    ids += strings(publish(fine(small)))
    assert relay_once(on_undeliverable="block").registry.get_sample_value(GAUGE) == 3
    assert [id_ for id_, _ in held(conn)] == [ids[0], ids[1], ids[3]]
    topics.configure(small, "max.message.bytes", "100000")
    wish(conn, Wish.RETRY, key="a")
    relay_once(on_undeliverable="block")
    assert topics.ids(small) == [ids[2], ids[0], ids[1], ids[3]]
    assert held(conn) == []


def test_a_row_that_comes_late_before_a_held_one_is_due_at_once(
    conn: psycopg.Connection, database: Database, publish: Publish, relay_once: RelayOnce, topics: Topics, small: str
) -> None:
    with psycopg.connect(database.url) as late:
        first = late.execute(
            "INSERT INTO txbox.outbox (type, topic, aggregateid) VALUES ('Late', %s, 'a') RETURNING id", (small,)
        ).fetchone()
        ids = strings(publish(large(small)))
        relay_once(on_undeliverable="hold")
    relay_once(on_undeliverable="hold")
    relay_once(on_undeliverable="hold")
    assert first == (UUID(topics.ids(small)[0]),)
    assert held(conn) == [(ids[0], "refused")]


@contextmanager
def holding(database: Database, kafka: Kafka, failpoint: str | None = None) -> Iterator[Process]:
    """A relay in a process of its own that holds."""
    servers = ("--database-url", database.url, "--bootstrap-servers", kafka.bootstrap_servers)
    # Batch by batch, so that there are many acks and saves to be killed at.
    steps = ("--batch", "10", "--in-flight", "10", "--save-every", "1ms")
    options = ("--on-undeliverable", "hold", "--http-port", "off", *steps)
    with process("txbox.cli", "relay", "run", *servers, *options, failpoint=failpoint) as relay:
        yield relay


@pytest.mark.parametrize("times", [1, 2, 4])
@pytest.mark.parametrize("point", ["relay.acked", "relay.saved"])
def test_nothing_is_lost_or_misordered_when_it_is_killed_while_it_holds(
    conn: psycopg.Connection,
    database: Database,
    kafka: Kafka,
    publish: Publish,
    relay_once: RelayOnce,
    topics: Topics,
    small: str,
    point: str,
    times: int,
) -> None:
    messages = [large(small, "k3") if n in (33, 133) else fine(small, f"k{n % 10}") for n in range(300)]
    ids = strings(publish(*messages))
    with holding(database, kafka, f"{point}:kill:{times}") as relay:
        assert relay.ended() == -9
    relay_once(on_undeliverable="hold")
    waiting = [id_ for n, id_ in enumerate(ids) if n % 10 == 3 and n >= 33]
    assert [id_ for id_, _ in held(conn)] == waiting
    assert list(dict.fromkeys(topics.ids(small))) == [id_ for id_ in ids if id_ not in waiting]


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("point", ["relay.retried", "relay.released"])
def test_nothing_is_lost_or_misordered_when_it_is_killed_while_it_retries(
    conn: psycopg.Connection,
    database: Database,
    kafka: Kafka,
    publish: Publish,
    relay_once: RelayOnce,
    topics: Topics,
    small: str,
    point: str,
    times: int,
) -> None:
    ids = strings(publish(large(small), *[fine(small)] * 20))
    relay_once(on_undeliverable="hold")
    topics.configure(small, "max.message.bytes", "100000")
    wish(conn, Wish.RETRY, key="a")
    with holding(database, kafka, f"{point}:kill:{times}") as relay:
        assert relay.ended() == -9
    ids += strings(publish(*[fine(small)] * 5))
    relay_once(on_undeliverable="hold")
    assert list(dict.fromkeys(topics.ids(small))) == ids
    assert held(conn) == []


def test_a_leader_that_was_superseded_holds_and_deletes_nothing(
    conn: psycopg.Connection, publish: Publish, relay: Relay, topics: Topics, small: str
) -> None:
    eventually(lambda: relay.health.report().ready)
    conn.execute("UPDATE txbox.relay_cursor SET epoch = epoch + 5")
    ids = strings(publish(large(small), fine(small)))
    eventually(lambda: len(held(conn)) == 2)
    assert relay.registry.get_sample_value("txbox_relay_epoch") == 7
    topics.configure(small, "max.message.bytes", "100000")
    conn.execute("UPDATE txbox.relay_cursor SET epoch = epoch + 5")
    wish(conn, Wish.RETRY, topic=small)
    eventually(lambda: held(conn) == [])
    assert list(dict.fromkeys(topics.ids(small))) == ids


def test_what_is_held_and_the_cursor_that_passes_it_are_saved_together_or_not_at_all(
    conn: psycopg.Connection, database: Database, publish: Publish, small: str
) -> None:
    publish(large(small), fine(small))
    ledger = Ledger.open(database, "default", {})
    ledger.take("me", ledger.inspect())
    holding, rows = Holding(ledger, "txbox"), [Diverted(1, small, "a", Reason.REFUSED, "too large")]
    holding.save(Cursor(1), rows)
    with pytest.raises(psycopg.errors.CheckViolation):
        holding.save(Cursor(2), [Diverted(2, small, "a", "no such reason")])  # type: ignore[arg-type]
    conn.execute("UPDATE txbox.relay_cursor SET epoch = epoch + 1")
    with pytest.raises(Superseded):
        holding.save(Cursor(2), [Diverted(2, small, "a", Reason.FOLLOWS)])
    wish(conn, Wish.SKIP, key="a")
    with pytest.raises(Superseded):
        holding.skip()
    ledger.close()
    assert len(held(conn)) == holding.count == 1
    assert conn.execute("SELECT tail FROM txbox.relay_cursor").fetchone() == (1,)


def test_wishes_are_chosen_noted_and_a_dry_run_changes_nothing(
    conn: psycopg.Connection, publish: Publish, relay_once: RelayOnce, small: str
) -> None:
    ids = publish(large(small), fine(small), large(small, "b"), large(small, None))
    relay_once(on_undeliverable="hold")
    everything = [ids[0], ids[2], ids[3]]
    chosen = {
        "key": ({"key": "b"}, [ids[2]]),
        "topic": ({"topic": small}, everything),
        "error": ({"error": "max.message.bytes"}, everything),
        "both": ({"error": "max.message.bytes", "key": "a"}, [ids[0]]),
        "id": ({"message": ids[1]}, [ids[1]]),
        "seq": ({"message": 4}, [ids[3]]),
        "none": ({"error": "100%"}, []),
        "another": ({"relay": "another", "topic": small}, []),
    }
    for how, (choice, expected) in chosen.items():
        assert [row["id"] for row in wish(conn, Wish.RETRY, dry_run=True, **choice)] == expected, how  # type: ignore[arg-type]
    assert conn.execute("SELECT FROM txbox.outbox_held WHERE wish IS NOT NULL").rowcount == 0
    assert conn.execute("SELECT FROM txbox.audit").rowcount == 0
    assert [row["id"] for row in wish(conn, Wish.SKIP, key="b")] == [ids[2]]
    marked = conn.execute("SELECT id, wish FROM txbox.outbox_held WHERE wish IS NOT NULL").fetchall()
    assert marked == [(ids[2], "skip")]
    wish(conn, Wish.RETRY, key="nobody's")
    [(who, command, what)] = conn.execute("SELECT who, command, what FROM txbox.audit").fetchall()
    assert "@" in who
    assert who.endswith(f" as {conn.info.user}")
    assert (command, what) == (
        "outbox skip",
        {"relay": "default", "chosen_by": {"key": "b"}, "messages": [str(ids[2])]},
    )
