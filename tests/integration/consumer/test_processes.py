"""Consumers in processes of their own: killed, stopped, and sharing partitions."""

from pathlib import Path

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


@pytest.mark.parametrize("drain_timeout", ["500ms", "60s"])
def test_a_handler_that_does_not_end_is_interrupted_and_its_message_comes_again(
    database: Database,
    kafka: Kafka,
    effects: Effects,
    topics: Topics,
    topic: str,
    monkeypatch: pytest.MonkeyPatch,
    drain_timeout: str,
) -> None:
    topics.put(topic, Raw.message(), Raw.message())
    environment = {
        "DATABASE_URL": database.url,
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "STUCK_TOPIC": topic,
        "STUCK": "yes",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    command = ("txbox.cli", "consume", "tests.integration.consumer.stuck:consumer", "--http-port", "0")
    with process(*command, "--drain-timeout", drain_timeout) as consumer:
        consumer.said("at it")
        consumer.popen.terminate()
        if drain_timeout == "60s":
            eventually(lambda: _is_pending_no_more(consumer))
            consumer.popen.terminate()
        assert consumer.ended() == 130
        assert consumer.log.count("at it") == 1
    assert effects.count() == 0
    monkeypatch.setenv("STUCK", "no")
    with process(*command, "--once") as again:
        assert again.ended() == 0
    assert effects.ids() == topics.ids(topic)


def _is_pending_no_more(process: Process) -> bool:
    """Whether a process has got the signal that it was sent: two that wait are one."""
    status = Path(f"/proc/{process.popen.pid}/status").read_text()
    pending = [int(line.split()[1], 16) for line in status.splitlines() if line.startswith(("SigPnd", "ShdPnd"))]
    return not any(pending)
