"""What people did to held messages, the consumer does: the effect once, in order, with what was edited."""

from collections.abc import Iterator
from threading import Event
from typing import Any
from uuid import UUID

import pytest
from psycopg import Connection

from tests.integration.consumer.conftest import Effects
from tests.integration.consumer.holding import Holding
from tests.integration.running import running
from tests.integration.topics import Raw, Topics
from tests.waiting import eventually
from txbox.consumer import Consumer, ConsumerConfig, Received, Reject, Runner
from txbox.consumer.choosing import Choice, State
from txbox.consumer.editing import edit
from txbox.consumer.mending import Outcome, discard, retry
from txbox.daemon import Database, Kafka


class Desk:
    """A handler that rejects payloads that say so, until it is mended; and may be made to take its time."""

    def __init__(self, effects: Effects) -> None:
        self._effects = effects
        self.mended = False
        self.busy, self.go = Event(), Event()
        self.go.set()
        self.seen: list[Received] = []

    def handle(self, conn: Connection[Any], message: Received) -> None:
        if isinstance(message.payload, dict) and message.payload.get("bad") and not self.mended:
            raise Reject("bad")
        self.busy.set()
        assert self.go.wait(60)
        self._effects.add(conn, message)
        self.seen.append(message)


@pytest.fixture
def topic_name(topic: str) -> str:
    return topic


@pytest.fixture
def desk(consumer: Consumer, effects: Effects) -> Iterator[Desk]:
    desk = Desk(effects)
    consumer.handler("T")(desk.handle)
    consumer.handler("Beside", then="release")(desk.handle)
    yield desk
    desk.go.set()


@pytest.fixture
def runner(desk: Desk, consumer: Consumer, database: Database, kafka: Kafka) -> Iterator[Runner]:
    runner = Runner(consumer, database, kafka, ConsumerConfig())
    with running(runner):
        yield runner


def dead(holding: Holding) -> list[UUID]:
    return [id_ for id_, state in holding.rows("message_id", "state") if state == "dead"]


def bad(key: bytes = b"a", type_: str = "T") -> Raw:
    return Raw.message(type_, b'{"bad":1}', key)


@pytest.mark.usefixtures("runner")
def test_a_retried_head_has_its_effect_once_and_those_behind_it_follow_in_order(
    conn: Connection[Any], desk: Desk, holding: Holding, effects: Effects, topics: Topics, topic: str
) -> None:
    topics.put(topic, bad(), *[Raw.message(key=b"a") for _ in range(5)], Raw.message(key=b"b"))
    eventually(lambda: len(holding.rows("n")) == 6 and effects.count() == 1)
    [head] = dead(holding)
    desk.mended = True
    for _ in range(3):
        list(retry(conn, Choice(ids=(head,))))
    eventually(lambda: holding.rows("n") == [])
    sent = topics.ids(topic)
    assert effects.ids() == [sent[6], *sent[:6]]


@pytest.mark.usefixtures("runner")
def test_a_message_whose_handler_runs_is_left_by_people_and_nobody_waits(
    conn: Connection[Any], desk: Desk, holding: Holding, effects: Effects, topics: Topics, topic: str
) -> None:
    topics.put(topic, bad())
    eventually(lambda: dead(holding))
    [id_] = dead(holding)
    desk.mended = True
    desk.busy.clear()
    desk.go.clear()
    list(retry(conn, Choice(ids=(id_,))))
    assert desk.busy.wait(60)
    conn.execute("SET lock_timeout = '1s'")
    for change in (retry, discard):
        assert [told.outcome for batch in change(conn, Choice(ids=(id_,))) for told in batch] == [Outcome.BUSY]
    desk.go.set()
    eventually(lambda: holding.rows("n") == [])
    assert effects.ids() == [str(id_)]


@pytest.mark.usefixtures("runner")
def test_an_edited_message_is_handled_as_it_is_now(
    conn: Connection[Any], desk: Desk, holding: Holding, topics: Topics, topic: str
) -> None:
    unreadable = Raw.message("T", b"{", b"b")
    nameless = Raw(b"{}", b"c", [("type", b"T")])
    topics.put(topic, bad(), unreadable, nameless)
    eventually(lambda: len(dead(holding)) == 3)
    ids = dead(holding)
    for n, id_ in enumerate(ids):
        edit(conn, id_, payload=b'{"n":%d}' % n, headers={"by": "ada"})
    list(retry(conn, Choice(state=State.DEAD)))
    eventually(lambda: holding.rows("n") == [])
    assert {(message.id, str(message.payload), message.headers["by"]) for message in desk.seen} == {
        (id_, str({"n": n}), "ada") for n, id_ in enumerate(ids)
    }


@pytest.mark.usefixtures("runner")
def test_what_is_behind_a_discarded_message_goes_on_and_it_never_comes_again(
    conn: Connection[Any], holding: Holding, effects: Effects, topics: Topics, topic: str
) -> None:
    first = bad()
    topics.put(topic, first, Raw.message(key=b"a"), Raw.message(key=b"a"))
    eventually(lambda: len(holding.rows("n")) == 3)
    list(discard(conn, Choice(state=State.DEAD)))
    eventually(lambda: effects.count() == 2)
    topics.put(topic, first._replace(value=b"{}"), Raw.message(key=b"a"))
    eventually(lambda: effects.count() == 3)
    sent = topics.ids(topic)
    assert effects.ids() == [sent[1], sent[2], sent[4]]


@pytest.mark.usefixtures("runner")
def test_a_released_message_that_is_retried_is_told_to_be_out_of_order(
    conn: Connection[Any], desk: Desk, holding: Holding, effects: Effects, topics: Topics, topic: str
) -> None:
    topics.put(topic, bad(type_="Beside"), Raw.message(key=b"a"))
    eventually(lambda: effects.count() == 1 and dead(holding))
    desk.mended = True
    list(retry(conn, Choice(state=State.DEAD)))
    eventually(lambda: holding.rows("n") == [])
    assert [(message.out_of_order, message.attempt) for message in desk.seen] == [(False, 1), (True, 1)]
