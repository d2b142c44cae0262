"""A member of a Kafka group: what it does with records while partitions come and go."""

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from tests.integration.topics import Raw, Topics
from tests.waiting import eventually
from txbox.consumer.broker import Broker, BrokerLost
from txbox.consumer.received import Record
from txbox.daemon import Kafka, consumer_settings

Join = Callable[[], "closing[Broker]"]


@pytest.fixture
def partitioned(topics: Topics) -> str:
    return topics.make(partitions=4)


@pytest.fixture
def join(kafka: Kafka, partitioned: str) -> Join:
    """Make one more member of the test's group, for a block."""
    settings = consumer_settings(kafka, group=partitioned, session_timeout=6.0)
    return lambda: closing(Broker(settings, [partitioned], lambda *_: None))


@pytest.fixture
def broker(join: Join) -> Iterator[Broker]:
    """The group's first member."""
    with join() as first:
        yield first


def turn_once(broker: Broker) -> Broker:
    """One turn of a wait, and no more."""
    answers = iter([False, True])
    broker.wait(60, lambda _: next(answers))
    return broker


def fetch(broker: Broker, count: int) -> list[Record]:
    """Fetch until so many records have come."""
    got: list[Record] = []

    def enough() -> bool:
        got.extend(broker.fetch(100))
        return len(got) >= count

    eventually(enough)
    return got


def share(first: Broker, second: Broker) -> None:
    """Wait until two members have two partitions each."""
    eventually(lambda: [first.fetch(1), second.fetch(1)] and (first.partitions, second.partitions) == (2, 2))


def one_each() -> list[Raw]:
    return [Raw.message(partition=number) for number in range(4)]


def test_what_was_put_back_comes_again_first_and_in_order(broker: Broker, topics: Topics, partitioned: str) -> None:
    topics.put(partitioned, *(Raw.message() for _ in range(20)))
    records = fetch(broker, 20)
    broker.put_back(records[5:])
    assert broker.fetch(10) == records[5:15]
    broker.put_back(records[10:15])
    assert fetch(broker, 10) == records[10:]


def test_records_that_come_while_it_waits_are_kept(broker: Broker, topics: Topics, partitioned: str) -> None:
    eventually(lambda: not broker.fetch(1) and broker.partitions == 4)
    topics.put(partitioned, *(Raw.message() for _ in range(50)))
    for _ in range(20):
        turn_once(broker)
    assert [record.offset for record in fetch(broker, 50)] == list(range(50))


def test_partitions_that_come_while_it_waits_do_not_silence_the_others(
    broker: Broker, join: Join, topics: Topics, partitioned: str
) -> None:
    with join() as other:
        share(broker, other)
    eventually(lambda: turn_once(broker).partitions == 4)
    topics.put(partitioned, *one_each())
    assert sorted(record.partition for record in fetch(broker, 4)) == [0, 1, 2, 3]


def test_what_was_put_back_is_dropped_with_its_partition(
    broker: Broker, join: Join, topics: Topics, partitioned: str
) -> None:
    topics.put(partitioned, *one_each())
    broker.put_back(fetch(broker, 4))
    with join() as other:
        eventually(lambda: [other.fetch(0)] and turn_once(broker).partitions == 2)
        mine, theirs = fetch(broker, 2), fetch(other, 2)
    assert sorted(record.partition for record in mine + theirs) == [0, 1, 2, 3]


def test_offsets_are_committed_up_to_what_is_done_and_no_further(
    broker: Broker, topics: Topics, partitioned: str
) -> None:
    topics.put(partitioned, *(Raw.message() for _ in range(20)))
    records = fetch(broker, 20)
    broker.done(records[:7])
    eventually(lambda: topics.committed(partitioned, partitioned) >= 7)
    assert topics.committed(partitioned, partitioned) == 7


def test_the_lag_is_what_has_not_been_settled(broker: Broker, topics: Topics, partitioned: str) -> None:
    topics.put(partitioned, *(Raw.message() for _ in range(10)))
    records = fetch(broker, 10)

    def behind() -> int:
        assert not broker.fetch(1)
        return sum(messages for _, _, messages in broker.lag())

    eventually(lambda: behind() == 10)
    broker.done(records)
    assert behind() == 0


def test_a_member_whose_instance_id_another_one_took_is_lost(kafka: Kafka, topics: Topics, partitioned: str) -> None:
    settings = consumer_settings(kafka, group=partitioned, session_timeout=6.0, instance_id="one")

    def join() -> Broker:
        return Broker(settings, [partitioned], lambda *_: None)

    with closing(join()) as first:
        eventually(lambda: not first.fetch(1) and first.partitions)
        with closing(join()) as second, pytest.raises(BrokerLost):
            eventually(lambda: second.fetch(1) or first.fetch(1))
