"""A consumer whose link to PostgreSQL is cut or falls silent: every effect once."""

from collections.abc import Iterator

import pytest

from tests.integration.consumer.conftest import Effects
from tests.integration.running import running
from tests.integration.topics import Raw, Topics
from tests.integration.toxiproxy import Proxy, Stream, through
from tests.waiting import eventually
from txbox.consumer import Consumer, ConsumerConfig, Runner
from txbox.daemon import Database, Kafka, postgres

#: bytes after which each connection is cut: in opening, in settings, in the statements of a batch
CUTS: dict[Stream, tuple[int, ...]] = {
    "upstream": (40, 1500, 2500),
    "downstream": (0, 900, 1300),
}


@pytest.fixture
def topic_name(topic: str) -> str:
    return topic


@pytest.fixture
def runner(
    consumer: Consumer,
    database: Database,
    kafka: Kafka,
    postgres_link: Proxy,
    effects: Effects,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Runner]:
    """A consumer behind the link, with limits for which a test can wait."""
    monkeypatch.setattr(postgres, "_GRACE", 1.0)
    consumer.handler("T")(effects.add)
    far = Database(url=through(database.url, postgres_link), statement_timeout=1.0)
    runner = Runner(consumer, far, kafka, ConsumerConfig(backoff_first=0.01, backoff_cap=0.05, handler_timeout=1.0))
    with running(runner):
        eventually(lambda: runner.health.report().ready)
        yield runner


def in_trouble(runner: Runner) -> bool:
    return not runner.health.report().checks["database"].ok


@pytest.mark.parametrize("stream", CUTS)
def test_a_cut_after_any_number_of_bytes(
    runner: Runner, effects: Effects, topics: Topics, topic: str, postgres_link: Proxy, stream: Stream
) -> None:
    for times, size in enumerate(CUTS[stream], 1):
        with postgres_link.toxic("limit_data", stream, bytes=size):
            postgres_link.drop()
            topics.put(topic, *(Raw.message() for _ in range(20)))
            eventually(lambda: in_trouble(runner))
        eventually(lambda: effects.count() >= 20 * times)  # noqa: B023  # now
    assert effects.ids() == topics.ids(topic)


def test_silence_is_noticed_and_costs_nothing(
    runner: Runner, effects: Effects, topics: Topics, topic: str, postgres_link: Proxy
) -> None:
    topics.put(topic, *(Raw.message() for _ in range(20)))
    eventually(lambda: effects.count() == 20)
    with postgres_link.silence():
        topics.put(topic, *(Raw.message() for _ in range(20)))
        eventually(lambda: in_trouble(runner))
        assert "has not answered" in runner.health.report().checks["database"].why
    eventually(lambda: effects.count() >= 40)
    assert effects.ids() == topics.ids(topic)
