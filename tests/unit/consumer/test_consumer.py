"""Handlers by type, what a batch asks for, and what its end means."""

import functools
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.consumer.records import record
from txbox.consumer import AsyncHandler, Consumer, DuplicateHandler
from txbox.consumer.consumer import name_of, plan
from txbox.consumer.loop import Size
from txbox.consumer.outcomes import Blame, judge
from txbox.consumer.received import Received, read


@pytest.fixture
def consumer() -> Consumer:
    return Consumer("billing", topics=["orders"])


def plain(_conn: Any, _message: Any) -> None: ...


async def waiting(_conn: Any, _message: Any) -> None: ...


def generating(_conn: Any, _message: Any) -> Any:
    yield


async def both(_conn: Any, _message: Any) -> Any:
    yield


class Waiting:
    async def __call__(self, _conn: Any, _message: Any) -> None: ...


@pytest.mark.parametrize("handler", [waiting, generating, both, Waiting(), functools.partial(waiting)], ids=repr)
def test_a_handler_that_would_never_be_run_is_refused(consumer: Consumer, handler: Any) -> None:
    with pytest.raises(AsyncHandler, match="plain"):
        consumer.handler("T")(handler)
    assert not consumer.handlers


@pytest.mark.parametrize(("type_", "told"), [("T", "type 'T'"), (None, "every other type")])
def test_a_type_has_one_handler(consumer: Consumer, type_: str | None, told: str) -> None:
    assert consumer.handler(type_)(plain) is plain
    with pytest.raises(DuplicateHandler, match=told):
        consumer.handler(type_)(lambda *_: None)
    assert consumer.handlers == {type_: plain}


@pytest.mark.parametrize("handler", [plain, functools.partial(plain), print], ids=repr)
def test_every_handler_has_a_name_for_people(handler: Any) -> None:
    assert name_of(handler)


def test_a_plan_sorts_records_and_keeps_their_order(consumer: Consumer) -> None:
    consumer.handler("A")(plain)
    consumer.handler("B")(other := lambda *_: None)
    given_ = [record("A"), record("X"), record("B"), record("A", b"{"), record(None), record("A")]
    made = plan(consumer.handlers, given_, attempt=4)
    assert [(handler, message.offset) for handler, message in made.messages] == [
        (plain, given_[0].offset),
        (other, given_[2].offset),
        (plain, given_[5].offset),
    ]
    assert {message.attempt for _, message in made.messages} == {4}
    assert [bad.record for bad in made.unreadable] == [given_[3]]
    assert list(made.skipped) == [given_[1], given_[4]]


def test_a_type_that_cannot_be_read_may_be_anybodys(consumer: Consumer) -> None:
    consumer.handler("A")(plain)
    assert len(plan(consumer.handlers, [record(b"\xff")]).unreadable) == 1
    assert len(plan({}, [record(b"\xff")]).skipped) == 1


def message() -> Received:
    one = read(record())
    assert isinstance(one, Received)
    return one


@pytest.mark.parametrize(
    ("error", "in_handler", "disconnected", "blame"),
    [
        (ValueError(), True, False, Blame.HANDLER),
        (psycopg.errors.UniqueViolation(), True, False, Blame.HANDLER),
        (psycopg.errors.UniqueViolation(), False, False, Blame.DATABASE),
        (psycopg.errors.DeadlockDetected(), True, False, Blame.DATABASE),
        (psycopg.errors.SerializationFailure(), True, False, Blame.DATABASE),
        (psycopg.OperationalError(), True, True, Blame.DATABASE),
        (psycopg.OperationalError(), False, True, Blame.DATABASE),
        (ValueError(), True, True, Blame.DATABASE),
    ],
)
def test_whose_fault_a_failure_is(error: Exception, in_handler: bool, disconnected: bool, blame: Blame) -> None:
    at = message() if in_handler else None
    failed = judge(error, at, disconnected=disconnected)
    assert (failed.error, failed.blame, failed.message, failed.disconnected) == (error, blame, at, disconnected)


batches = st.lists(st.tuples(st.integers(1, 5000), st.floats(0, 100)), max_size=50)


@given(batches, st.floats(0.001, 10), st.integers(1, 5000))
def test_a_batch_has_at_least_one_message_and_at_most_the_most(
    learned: list[tuple[int, float]], seconds: float, most: int
) -> None:
    size = Size(seconds=seconds, most=most)
    for messages, took in learned:
        assert 1 <= size.messages <= most
        size.learn(messages, took)
    assert 1 <= size.messages <= most


@pytest.mark.parametrize(("each", "settles"), [(0.00001, 2000), (0.001, 100), (0.01, 10), (1.0, 1)])
def test_it_settles_at_what_fits_into_the_time(each: float, settles: int) -> None:
    size = Size(seconds=0.1, most=2000)
    for _ in range(200):
        size.learn(size.messages, size.messages * each)
    assert size.messages == pytest.approx(settles, rel=0.02)


def test_a_small_batch_teaches_little() -> None:
    size = Size(seconds=0.1, most=2000)
    assert size.messages == 1, "nothing is known yet of how long a handler takes"
    for _ in range(50):
        size.learn(100, 0.1)
    before = size.messages
    size.learn(1, 0.02)
    size.learn(0, 5.0)
    assert size.messages > before * 0.8
