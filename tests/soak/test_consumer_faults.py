"""The consumer's faults again, for longer than a check may take."""

from time import monotonic
from typing import Any

import pytest
from psycopg import Connection

from tests.integration.consumer.group import PROTOCOLS, Group
from tests.integration.consumer.killing import kill_again_and_again
from tests.integration.consumer.storm import storm
from tests.integration.consumer.traffic import effect
from tests.integration.topics import Topics
from tests.waiting import eventually
from txbox.consumer import Received
from txbox.daemon import Database, Kafka
from txbox.sandbox import Sandbox


@pytest.fixture
def group(database: Database, kafka: Kafka, topics: Topics) -> Group:
    return Group(database.url, kafka, topics, topics.make(partitions=6))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_many_kills(group: Group, protocol: str) -> None:
    group.client = PROTOCOLS[protocol]
    # Each kills twice: 500 in all. By KIP-848 a static member comes back when its session is over: 45 s, by default.
    kill_again_and_again(group, times=5 if protocol == "consumer" else 125, seed=7)


@pytest.mark.parametrize("static", [False, True], ids=["dynamic", "static"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_long_storms_of_rebalances(group: Group, protocol: str, static: bool) -> None:
    group.client = PROTOCOLS[protocol]
    storm(group, rounds=15, static=static)


def test_a_hundred_thousand_messages_that_come_again_have_no_effect(group: Group) -> None:
    group.traffic.write(100_000)
    with group.thread(max_batch=2000):
        group.settled(within=300)
    group.topics.rewind(group.topic, group.topic)
    began = monotonic()
    with group.thread(max_batch=2000) as again:
        eventually(lambda: group.topics.committed(group.topic, group.topic) >= 100_000, within=300, every=0.2)
        print(f"100,000 duplicates in {monotonic() - began:.1f} s")
        assert group.outcomes(again, "duplicate") == 100_000
    group.traffic.settled(group.effects)


def test_a_broker_restarts_under_traffic(group: Group, sandbox: Sandbox) -> None:
    with group.thread(), group.thread():
        with group.traffic.flowing():
            group.traffic.more(group.effects)
            sandbox.kafka.restart(0)
            group.traffic.more(group.effects)
        group.settled()


def test_half_a_minute_without_what_handlers_need_leaves_nothing_waiting_or_dead(
    group: Group, conn: Connection[Any]
) -> None:
    """At the default settings: it takes no attempt from any message, and nobody needs to mend anything."""
    away_until = monotonic() + 30.0
    tries = 0

    def needy(handlers: Connection[Any], message: Received) -> None:
        nonlocal tries
        tries += 1
        if monotonic() < away_until:
            raise ConnectionRefusedError
        effect(handlers, message)

    group.traffic.write(2_000)
    with group.thread(needy, max_batch=2000, backoff_cap=60.0):
        eventually(lambda: monotonic() >= away_until, within=60, every=1.0)
        print(f"{tries:,} tries in the outage")
        group.settled(within=60)
    assert conn.execute("SELECT count(*) FROM txbox.held_messages").fetchone() == (0,)
