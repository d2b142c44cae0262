"""Outages, deadlocks, handlers that hang, keys and tables that are full: nothing is lost, nobody innocent is blamed."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import Connection

from tests.integration.consumer.conftest import Effects
from tests.integration.consumer.shop import CONFIG, Shop, keyed, of_key
from tests.integration.consumer.test_failing import rows
from tests.integration.running import running
from tests.integration.topics import Raw, Topics
from tests.waiting import eventually
from txbox.consumer import Consumer, HeldFull, Received, Reject, Retry, Runner
from txbox.consumer.guard import GuardedConnection
from txbox.consumer.held import NOWHERE, Held
from txbox.consumer.inbox import Inbox
from txbox.daemon import Database, Kafka


@pytest.fixture
def topic_name(topic: str) -> str:
    return topic


def test_in_an_outage_nothing_is_tried_over_and_over_and_nothing_is_left_waiting(
    shop: Shop, run: Callable[..., Any], effects: Effects, topics: Topics, topic: str, conn: Connection
) -> None:
    """What all handlers need is away: messages are not tried to death, and all have their effect when it is back."""
    keys = "".join(chr(ord("a") + n % 26) for n in range(300))
    shop.bad_keys = set(keys)
    topics.put(topic, *keyed(keys))
    with run(attempts=3, max_batch=40) as runner:
        eventually(lambda: "most messages fail" in runner.health.report().checks["handlers"].why)
        before = len(shop.seen)
        eventually(lambda: len(shop.seen) >= before + 10)
        assert len({message.key for message in shop.seen[-10:]}) > 1, "another one each time"
        shop.bad_keys = set()
        eventually(lambda: effects.count() == 300)
        eventually(lambda: runner.health.report().ready)
    assert rows(conn) == []
    for key in set(keys):
        had, sent = of_key(effects.ids(), topics, topic, keys, key)
        assert had == sent


@pytest.mark.parametrize("rejected", [False, True])
def test_the_only_message_there_is_may_be_the_only_one_that_fails(
    consumer: Consumer, run: Callable[..., Any], effects: Effects, topics: Topics, topic: str, rejected: bool
) -> None:
    """It looks as if the world were down; what comes then tells that it is not."""
    raised: list[Exception] = []

    @consumer.handler("T")
    def handle(conn: Connection[Any], message: Received) -> None:
        if message.key == "bad":
            raised.append(psycopg.errors.OutOfMemory())
            raise Reject("no") if rejected and len(raised) > 3 else raised[-1]
        effects.add(conn, message)

    topics.put(topic, *keyed(["bad"]))
    with run() as runner:
        eventually(lambda: raised)
        if rejected:
            eventually(lambda: runner.health.report().checks["handlers"].ok)
        topics.put(topic, *keyed("ababab"))
        eventually(lambda: effects.count() == 6)
    for key in "ab":
        had, sent = of_key(effects.ids(), topics, topic, "-ababab", key)
        assert had == sent


def test_in_an_outage_a_row_that_another_process_is_at_tells_nothing_and_is_not_waited_for(
    shop: Shop, run: Callable[..., Any], topics: Topics, topic: str, conn: Connection, txbox_database: str
) -> None:
    keys = "abcdefghijklmnopqrstuvwxyz"
    shop.bad_keys = set(keys)
    topics.put(topic, *keyed(keys))
    with run(max_batch=26) as runner, psycopg.connect(txbox_database) as other:
        eventually(lambda: "most messages fail" in runner.health.report().checks["handlers"].why)
        other.execute("SELECT FROM txbox.held_messages FOR UPDATE")
        tried = len(shop.seen)
        eventually(lambda: "; 1" in runner.health.report().checks["handlers"].why)
        assert not runner.health.report().checks["handlers"].ok
        assert len(shop.seen) <= tried + 1
        shop.bad_keys = set()
        topics.put(topic, *keyed("z"))
        topics.put(topic, *keyed(["new"]))
        eventually(lambda: runner.health.report().checks["handlers"].ok)
        other.rollback()
        eventually(lambda: rows(conn) == [])


def test_messages_without_a_handler_any_more_are_kept(
    consumer: Consumer, run: Callable[..., Any], topics: Topics, topic: str, conn: Connection
) -> None:
    @consumer.handler("Old")
    def old(*_: object) -> None:
        raise ValueError

    topics.put(topic, Raw.message("Old"))
    with run():
        eventually(lambda: rows(conn))
    consumer.handlers.pop("Old")  # type: ignore[attr-defined]  # as the next version of the service has it
    consumer.handler("New")(lambda *_: None)
    with run(attempts=4):
        eventually(lambda: rows(conn)[0][1] == "dead")
    assert "NoHandler" in str(conn.execute("SELECT error FROM txbox.held_messages").fetchone())


def test_each_message_that_becomes_dead_is_copied_once(
    consumer: Consumer, run: Callable[..., Any], topics: Topics, topic: str, conn: Connection
) -> None:
    """By its first attempt, by its last, and as one that cannot be read; the outbox holds the copies."""

    @consumer.handler("T", retry=Retry(attempts=2, first=0.01))
    def handle(_: Connection, message: Received) -> None:
        raise Reject("no") if message.key == "rejected" else ValueError

    topics.put(topic, Raw.message(key=b"rejected"), Raw.message(key=b"tried"), Raw.message("T", b"{", b"unreadable"))
    with run(dead_letter_topic="{topic}.dlt"):
        eventually(lambda: [row[1] for row in rows(conn)] == ["dead"] * 3)
    copies = conn.execute(
        "SELECT topic, aggregateid, headers ->> 'txbox-reason' FROM txbox.outbox ORDER BY 2"
    ).fetchall()
    assert copies == [
        (f"{topic}.dlt", "rejected", "rejected"),
        (f"{topic}.dlt", "tried", "attempts"),
        (f"{topic}.dlt", "unreadable", "unreadable"),
    ]


def test_a_handler_that_waits_for_itself_on_a_connection_of_its_own_is_ended_and_to_blame(
    consumer: Consumer,
    run: Callable[..., Any],
    effects: Effects,
    topics: Topics,
    topic: str,
    conn: Connection,
    database: Database,
) -> None:
    """The batch holds a row's lock, the handler's own connection waits for it: PostgreSQL sees no deadlock there."""
    conn.execute("CREATE TABLE stock (n int); INSERT INTO stock VALUES (0)")

    @consumer.handler("T")
    def handle(handlers: Connection, message: Received) -> None:
        effects.add(handlers, message)
        handlers.execute("UPDATE stock SET n = n + 1")
        if message.key == "own":
            with Connection.connect(database.url) as mine:
                mine.execute("UPDATE stock SET n = n + 1")

    topics.put(topic, *(Raw.message(key=key) for key in (b"a", b"own", b"b")))
    # PostgreSQL ends the session of a handler that says nothing for handler_timeout and 5 s.
    with run(handler_timeout=-4.0, attempts=2):
        eventually(lambda: [(row[1], row[2]) for row in rows(conn)] == [("dead", "attempts")], within=40)
        eventually(lambda: effects.count() == 2)


def test_two_processes_that_deadlock_take_turns_and_lose_nothing(
    consumer: Consumer, run: Callable[..., Any], database: Database, kafka: Kafka, topics: Topics, conn: Connection
) -> None:
    """Both change the same rows, in different orders: a deadlock counts for nobody."""
    name = topics.make(".two", partitions=2)
    consumer = Consumer(name, topics=[name])
    conn.execute("CREATE TABLE stock (n int PRIMARY KEY, sold int NOT NULL DEFAULT 0)")
    conn.execute("INSERT INTO stock (n) SELECT generate_series(0, 9)")
    attempts: set[int] = set()

    @consumer.handler("T")
    def sell(handlers: Connection, message: Received) -> None:
        attempts.add(message.attempt)
        n = message.offset % 10 if message.partition else 9 - message.offset % 10
        handlers.execute("UPDATE stock SET sold = sold + 1 WHERE n = %s", (n,))

    topics.put(name, *(Raw.message(partition=n % 2, key=str(n).encode()) for n in range(1000)))
    config = replace(CONFIG, max_batch=10)
    first, second = (Runner(consumer, database, kafka, config) for _ in range(2))
    with running(first), running(second):
        eventually(lambda: conn.execute("SELECT sum(sold) FROM stock").fetchone() == (1000,), within=60)
    assert rows(conn) == []
    assert attempts == {1}


def test_what_only_follows_is_put_aside_many_at_a_time(
    shop: Shop, run: Callable[..., Any], topics: Topics, topic: str, conn: Connection
) -> None:
    """After a restart in an outage, a backlog in which no handler runs must not come one message a transaction."""
    keys = "abcdef" * 100
    shop.bad_keys = set(keys)
    topics.put(topic, *keyed(keys))
    with run():
        eventually(lambda: len(rows(conn)) == len(keys))
    transactions = conn.execute("SELECT count(DISTINCT xmin::text) FROM txbox.held_messages").fetchall()[0][0]
    assert transactions < len(keys) / 3


def test_a_run_to_the_end_is_told_that_no_more_may_be_held(
    shop: Shop, consumer: Consumer, database: Database, kafka: Kafka, topics: Topics, topic: str
) -> None:
    shop.bad_offsets, shop.error = {0}, Reject("no")
    topics.put(topic, *keyed("aaaab"))
    with pytest.raises(HeldFull, match="max_held_key"):
        Runner(consumer, database, kafka, replace(CONFIG, max_held_key=2)).run(once=True)


def test_a_handler_that_ends_its_own_session_is_to_blame_in_a_run_to_the_end_too(
    consumer: Consumer, database: Database, kafka: Kafka, topics: Topics, topic: str, conn: Connection, effects: Effects
) -> None:
    @consumer.handler("T")
    def handle(handlers: Connection, message: Received) -> None:
        effects.add(handlers, message)
        if message.offset == 1:
            handlers.pgconn.finish()
            handlers.execute("SELECT 1")

    topics.put(topic, *keyed("abc"))
    Runner(consumer, database, kafka, replace(CONFIG, backoff_first=5.0, backoff_cap=5.0)).run(once=True)
    assert effects.count() == 2
    assert [row[:3] for row in rows(conn)] == [(1, "waiting", "failed")]


def test_all_held_keys_are_looked_through_a_part_at_a_time(
    consumer: Consumer, guarded: GuardedConnection, conn: Connection
) -> None:
    inbox = Inbox(guarded, "txbox", consumer.name)
    conn.execute(
        "INSERT INTO txbox.held_messages "
        "(consumer_id, message_id, state, blocks, reason, attempts, due_at, key, headers,"
        " topic, kafka_partition, kafka_offset) SELECT %s, gen_random_uuid(), 'waiting', true, 'follows', 0,"
        " CASE WHEN key %% 3 = 0 THEN NULL ELSE now() END, int4send(key), '[]', 'topic' || key %% 2, 0, n"
        " FROM generate_series(1, 2) AS n CROSS JOIN generate_series(1, 10) AS key",
        (inbox.consumer_id,),
    )
    held = Held(guarded, "txbox", inbox.consumer_id)
    found, place, looks = list[UUID](), NOWHERE, 0
    while looks == 0 or place != NOWHERE:
        ids, place = held.freed(place, 3)
        found += ids
        looks += 1
    assert looks == 4
    query = "SELECT DISTINCT ON (topic, key) message_id, due_at FROM txbox.held_messages ORDER BY topic, key, n"
    assert found == [id_ for id_, due in conn.execute(query) if due is None]


def test_it_is_unready_while_no_more_may_be_held_and_ready_when_a_person_made_room(
    shop: Shop, run: Callable[..., Any], effects: Effects, topics: Topics, topic: str, conn: Connection
) -> None:
    """Also where nothing comes meanwhile that could tell."""
    shop.bad_offsets, shop.error = {0, 1}, Reject("no")
    topics.put(topic, *keyed("ab"))
    with run(max_held=2) as runner:
        eventually(lambda: "max_held" in runner.health.report().checks["handlers"].why)
        topics.put(topic, *keyed("c"))
        assert not runner.health.report().ready
        conn.execute("DELETE FROM txbox.held_messages")
        eventually(lambda: runner.health.report().ready)
        eventually(lambda: effects.count() == 1)
