"""Servers that restart, die or are replaced under traffic: one effect each, a key's in order, nothing lost."""

import pytest

from tests.integration.consumer.group import Group
from tests.integration.consumer.traffic import Verdict
from tests.integration.standby import anywhere, execute, power_cut, standby
from tests.integration.topics import Topics
from tests.waiting import eventually
from txbox.daemon import Kafka
from txbox.sandbox.postgres import Postgres


@pytest.fixture
def topic(topics: Topics) -> str:
    return topics.make(partitions=6)


def test_postgres_restarts_and_crashes_under_traffic(
    primary: Postgres, kafka: Kafka, topics: Topics, topic: str
) -> None:
    group = Group(primary.url, kafka, topics, topic)
    with group.thread(), group.thread():
        with group.traffic.flowing():
            for end in (primary.stop, primary.stop_immediately, primary.kill):
                group.traffic.more(group.effects)
                end()
                primary.start()
            group.traffic.more(group.effects)
        group.settled()


def test_failover_to_a_synchronous_standby_loses_no_effect(
    primary: Postgres, kafka: Kafka, topics: Topics, topic: str
) -> None:
    with standby(primary) as second:
        second.make_synchronous()
        group = Group(anywhere(primary, second), kafka, topics, topic)
        with group.thread(), group.thread():
            with group.traffic.flowing():
                group.traffic.more(group.effects)
                power_cut(primary)
                second.promote()
                group.traffic.more(group.effects)
            group.settled()


def test_failover_to_an_asynchronous_standby_loses_effects_until_their_messages_are_read_again(
    primary: Postgres, kafka: Kafka, topics: Topics, topic: str
) -> None:
    with standby(primary) as second:
        group = Group(anywhere(primary, second), kafka, topics, topic)
        with group.thread():
            with group.traffic.flowing():
                group.traffic.more(group.effects)
                second.catch_up()
                second.cut_off()
                group.traffic.more(group.effects)
                power_cut(primary)
                second.promote()
                group.traffic.more(group.effects)
            wanted = topics.count(topic)
            eventually(lambda: topics.committed(topic, topic) == wanted, within=60, every=0.2)
        found = Verdict.of(group.traffic.written, group.effects.all())
        assert found.lost, "what the standby never received was committed, and its offsets too"
        assert found == Verdict(lost=found.lost)
        topics.rewind(topic, topic)
        with group.thread():
            eventually(lambda: group.effects.count() >= wanted, within=60)
        found = Verdict.of(group.traffic.written, group.effects.all())
        assert (found.lost, found.repeated) == (frozenset(), frozenset())


def test_a_crash_loses_no_effect_where_commits_are_asynchronous_by_default(
    primary: Postgres, kafka: Kafka, topics: Topics, topic: str
) -> None:
    group = Group(primary.url, kafka, topics, topic)
    off = ("ALTER SYSTEM SET synchronous_commit = off", "ALTER SYSTEM SET wal_writer_delay = '10s'")
    execute(primary, *off, "SELECT pg_reload_conf()")
    with group.thread():
        with group.traffic.flowing():
            for _ in range(2):
                group.traffic.more(group.effects)
                power_cut(primary)
                primary.start()
            group.traffic.more(group.effects)
        group.settled()
