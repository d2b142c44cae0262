"""Held messages come to their effect: in the order of their key, once, whoever tries them and whatever dies."""

from collections.abc import Callable
from typing import Any

import pytest
from psycopg import Connection

from tests.integration.consumer.conftest import Effects
from tests.integration.consumer.shop import Shop, keyed, of_key
from tests.integration.consumer.test_failing import rows
from tests.integration.topics import Topics
from tests.waiting import eventually
from txbox.consumer import Consumer, Received, Reject, Retry


@pytest.fixture
def topic_name(topic: str) -> str:
    return topic


def test_it_is_tried_again_until_it_passes_and_those_behind_it_follow_in_order(
    shop: Shop, run: Callable[..., Any], effects: Effects, topics: Topics, topic: str, conn: Connection
) -> None:
    keys = "abacabadab"
    shop.bad_offsets = {2}
    topics.put(topic, *keyed(keys))
    with run():
        eventually(lambda: len(shop.attempts(2)) >= 3)
        eventually(lambda: effects.count() == len(keys) - 4)  # all but those of its key that come after the first
        shop.bad_offsets = set()
        eventually(lambda: effects.count() == len(keys))
        eventually(lambda: rows(conn) == [])
    for key in "abcd":
        had, sent = of_key(effects.ids(), topics, topic, keys, key)
        assert had == sent
    assert shop.attempts(2) == list(range(1, len(shop.attempts(2)) + 1))


def test_new_ones_of_its_key_go_behind_those_that_wait(
    shop: Shop, run: Callable[..., Any], effects: Effects, topics: Topics, topic: str
) -> None:
    shop.bad_keys = {"a"}
    topics.put(topic, *keyed("ab"))
    with run():
        eventually(lambda: effects.count() == 1)
        topics.put(topic, *keyed("aab"))
        eventually(lambda: effects.count() == 2)
        shop.bad_keys = set()
        eventually(lambda: effects.count() == 5)
    had, sent = of_key(effects.ids(), topics, topic, "abaab", "a")
    assert had == sent


def test_one_that_fails_among_those_that_follow_holds_up_the_rest(
    shop: Shop, run: Callable[..., Any], effects: Effects, topics: Topics, topic: str
) -> None:
    shop.bad_offsets = {0, 3}
    topics.put(topic, *keyed("aaaaaa"))
    with run():
        eventually(lambda: len(shop.attempts(0)) >= 2)
        shop.bad_offsets = {3}
        eventually(lambda: len(shop.attempts(3)) >= 3)
        assert effects.ids() == topics.ids(topic)[:3]
        shop.bad_offsets = set()
        eventually(lambda: effects.count() == 6)
    assert effects.ids() == topics.ids(topic)
    assert shop.attempts(3)[:3] == [1, 2, 3]


@pytest.mark.parametrize(("then", "had"), [("hold", []), ("release", [1, 2])])
def test_after_its_last_attempt_it_is_dead(
    consumer: Consumer,
    effects: Effects,
    run: Callable[..., Any],
    topics: Topics,
    topic: str,
    conn: Connection,
    then: Any,
    had: list[int],
) -> None:
    attempts: list[int] = []

    @consumer.handler("T", retry=Retry(attempts=3, first=0.02), then=then)
    def handle(conn: Connection, message: Received) -> None:
        effects.add(conn, message)
        if message.offset == 0:
            attempts.append(message.attempt)
            raise ValueError

    topics.put(topic, *keyed("aaa"))
    with run():
        eventually(lambda: rows(conn) and rows(conn)[0][1] == "dead")
        eventually(lambda: effects.count() == len(had))
    ids = topics.ids(topic)
    assert effects.ids() == [ids[n] for n in had]
    assert attempts == [1, 2, 3]
    assert rows(conn)[0] == (0, "dead", "attempts", 3, then == "hold", False)


def test_a_dead_one_that_a_person_tries_again_has_all_its_attempts_and_is_told_that_it_is_late(
    consumer: Consumer,
    effects: Effects,
    run: Callable[..., Any],
    topics: Topics,
    topic: str,
    conn: Connection,
) -> None:
    seen: list[tuple[int, int, bool]] = []
    mended = False

    @consumer.handler("T", then="release")
    def handle(conn: Connection, message: Received) -> None:
        seen.append((message.offset, message.attempt, message.out_of_order))
        effects.add(conn, message)
        if message.offset == 0 and not mended:
            raise Reject("no")

    topics.put(topic, *keyed("aa"))
    with run():
        eventually(lambda: effects.count() == 1)
        mended = True
        conn.execute("UPDATE txbox.held_messages SET state = 'waiting', attempts = 0, due_at = now()")
        eventually(lambda: effects.count() == 2)
    assert seen == [(0, 1, False), (1, 1, False), (0, 1, True)]
    assert rows(conn) == []


def test_what_is_behind_one_that_a_person_discards_goes_on(
    shop: Shop, run: Callable[..., Any], effects: Effects, topics: Topics, topic: str, conn: Connection
) -> None:
    shop.bad_offsets, shop.error = {0}, Reject("no")
    topics.put(topic, *keyed("aaa"))
    with run():
        eventually(lambda: len(rows(conn)) == 3)
        conn.execute("DELETE FROM txbox.held_messages WHERE state = 'dead'")
        eventually(lambda: effects.count() == 2)
    assert effects.ids() == topics.ids(topic)[1:]


def test_a_row_that_somebody_is_at_is_left_to_them(
    shop: Shop, run: Callable[..., Any], effects: Effects, topics: Topics, topic: str, conn: Connection
) -> None:
    shop.bad_offsets = {0}
    topics.put(topic, *keyed("aab"))
    with run():
        eventually(lambda: effects.count() == 1)
        with conn.transaction():
            conn.execute("SELECT FROM txbox.held_messages WHERE reason = 'failed' FOR UPDATE")
            shop.bad_offsets = set()
            tried = len(shop.attempts(0))
            topics.put(topic, *keyed("bbb"))
            eventually(lambda: effects.count() == 4)
            assert len(shop.attempts(0)) <= tried + 1
        eventually(lambda: effects.count() == 6)


def test_only_a_failed_attempt_does_not_wait_for_the_disk(
    shop: Shop, run: Callable[..., Any], effects: Effects, topics: Topics, topic: str, conn: Connection
) -> None:
    conn.execute("CREATE TABLE said (what text, setting text)")
    conn.execute("""
        CREATE FUNCTION say() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO public.said VALUES (TG_OP, current_setting('synchronous_commit'));
            RETURN NULL;
        END $$""")
    conn.execute("""
        CREATE CONSTRAINT TRIGGER say AFTER INSERT OR UPDATE OR DELETE ON txbox.held_messages
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION say()""")
    shop.bad_offsets = {0, 2}
    topics.put(topic, *keyed("aaaa"))
    with run():
        eventually(lambda: len(shop.attempts(0)) >= 3)
        shop.bad_offsets = {2}
        eventually(lambda: len(shop.attempts(2)) >= 3)
        shop.bad_offsets = set()
        eventually(lambda: effects.count() == 4)
    said = set(conn.execute("SELECT what, setting FROM said"))
    # on: the first failure of the one that follows, in the transaction in which the one before it had its effect
    assert said == {("INSERT", "on"), ("UPDATE", "off"), ("UPDATE", "on"), ("DELETE", "on")}
