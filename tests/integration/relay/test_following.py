"""What `txbox outbox tail` tells: each row once when it is there, and once when the relay is done with it."""

from collections.abc import Callable

import psycopg
import pytest

from tests.integration.conftest import Publish
from tests.integration.topics import Topics
from txbox.daemon import Database
from txbox.outbox import Message, Outbox
from txbox.relay import Relay
from txbox.relay.following import Following


@pytest.fixture
def following(conn: psycopg.Connection) -> Following:
    """Of the last row, and what comes."""
    return Following(conn, "txbox", "default", last=1)


def told(following: Following) -> list[tuple[int, str]]:
    return [(row.seq, row.state) for row in following.look()]


def test_rows_are_told_as_written_and_then_as_published(
    following: Following, publish: Publish, relay_once: Callable[..., Relay], topic: str
):
    publish(*(Message("T", topic=topic) for _ in range(3)))
    assert told(following) == [(3, "written")], "the last one only"
    publish(Message("T", {"n": 1}, topic=topic, key="k"))
    [row] = following.look()
    assert (row.seq, row.state, row.route, row.key) == (4, "written", topic, "k")
    assert told(following) == []
    relay_once()
    assert told(following) == [(3, "published"), (4, "published")]
    assert told(following) == []


def test_row_that_was_published_before_it_was_seen_is_told_once(
    following: Following, publish: Publish, relay_once: Callable[..., Relay], topic: str
):
    publish(Message("T", topic=topic))
    relay_once()
    assert told(following) == [(1, "published")]


def test_row_that_appears_below_others_is_told(
    following: Following, publish: Publish, relay_once: Callable[..., Relay], database: Database, topic: str
):
    publish(Message("T", topic=topic))
    assert told(following) == [(1, "written")]
    with psycopg.connect(database.url) as other:
        Outbox().add(other, Message("T", topic=topic))
        publish(Message("T", topic=topic))
        relay_once()
        assert told(following) == [(1, "published"), (3, "published")]
        other.commit()
    assert told(following) == [(2, "written")], "in a gap of the cursor: not published yet, though the tail is above it"
    relay_once()
    assert told(following) == [(2, "published")]


def test_held_row_is_told_so(following: Following, publish: Publish, relay_once: Callable[..., Relay], topics: Topics):
    publish(Message("T", "x" * 3000, topic=topics.make("-small", max_message_bytes="1000")))
    relay_once(on_undeliverable="hold")
    assert told(following) == [(1, "held")]


def test_of_more_than_anybody_reads_the_newest_are_told_and_the_others_counted(
    following: Following, publish: Publish, topic: str
):
    publish(Message("T", topic=topic))
    following.look()
    publish(*(Message("T", topic=topic) for _ in range(500)))
    assert [seq for seq, _ in told(following)] == list(range(302, 502))
    assert following.passed_over == 300
    publish(Message("T", topic=topic))
    assert told(following) == [(502, "written")]


def test_numbers_that_jump_are_not_counted_as_rows(
    following: Following, conn: psycopg.Connection, publish: Publish, topic: str
):
    publish(Message("T", topic=topic))
    following.look()
    conn.execute("ALTER TABLE txbox.outbox ALTER COLUMN seq RESTART WITH 1000000000000")
    publish(*(Message("T", topic=topic) for _ in range(250)))
    assert len(told(following)) == 200
    assert following.passed_over == 50


def test_no_outbox_row_is_nothing_to_tell(following: Following, publish: Publish, topic: str):
    assert told(following) == []
    publish(Message("T", topic=topic))
    assert told(following) == [(1, "written")]
