"""Consumers in processes of their own: killed, stopped, and sharing partitions."""

import pytest

from tests.integration.consumer import apps
from tests.integration.consumer.conftest import Effects
from tests.integration.running import Process, process
from tests.integration.topics import Raw, Topics
from tests.waiting import eventually
from txbox.daemon import Database, Kafka


@pytest.fixture
def partitioned(topics: Topics) -> str:
    return topics.make(partitions=4)


@pytest.fixture
def arguments(database: Database, kafka: Kafka, partitioned: str) -> tuple[str, ...]:
    return (apps.__name__, database.url, kafka.bootstrap_servers, partitioned)


def spread(count: int) -> list[Raw]:
    """Messages over all partitions."""
    return [Raw.message(partition=n % 4) for n in range(count)]


@pytest.mark.parametrize("point", ["consumer.handling", "consumer.handled", "consumer.committed", "consumer.holding"])
def test_one_effect_each_when_it_is_killed_at(
    arguments: tuple[str, ...], effects: Effects, topics: Topics, partitioned: str, point: str
) -> None:
    topics.put(partitioned, *spread(100), Raw(b"{", None, [("id", b"bad"), ("type", b"T")]))
    with process(*arguments, "one", failpoint=f"{point}:kill") as killed:
        assert killed.ended() == -9
    with process(*arguments, "one") as again:
        eventually(lambda: effects.count() >= 100)
        eventually(lambda: topics.committed(partitioned, partitioned) == 101)
        assert again.terminate() == 0
        assert ("already processed" in again.log) == (point == "consumer.committed")
    assert sorted(effects.ids()) == sorted(id_ for id_ in topics.ids(partitioned) if id_ != "bad")


def test_sigterm_ends_it_with_its_offsets_committed(
    arguments: tuple[str, ...], effects: Effects, topics: Topics, partitioned: str
) -> None:
    topics.put(partitioned, *spread(2000))
    with process(*arguments) as consumer:
        eventually(lambda: effects.count() > 0)
        assert consumer.terminate() == 0
    assert topics.committed(partitioned, partitioned) == effects.count()


def test_one_effect_each_while_members_come_and_go(
    arguments: tuple[str, ...], effects: Effects, topics: Topics, partitioned: str
) -> None:
    with process(*arguments) as first:
        topics.put(partitioned, *spread(500))
        first.said("partitions assigned")
        with process(*arguments) as second:
            topics.put(partitioned, *spread(500))
            second.said("partitions assigned")
            eventually(lambda: _has_partitions(second))
            topics.put(partitioned, *spread(500))
            assert second.terminate() == 0
        topics.put(partitioned, *spread(500))
        eventually(lambda: effects.count() >= 2000)
        eventually(lambda: topics.committed(partitioned, partitioned) == 2000)
        assert first.terminate() == 0
    assert sorted(effects.ids()) == sorted(topics.ids(partitioned))


def _has_partitions(member: Process) -> bool:
    return any('"partitions assigned"' in line and "[]" not in line for line in member.log.splitlines())
