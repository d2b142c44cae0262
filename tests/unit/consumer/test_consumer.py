"""Handlers by type, what a batch asks for, and how large it is."""

import functools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.consumer.records import record
from txbox.consumer import AsyncHandler, Consumer, DuplicateHandler
from txbox.consumer.consumer import Handling, Run, Skipped, name_of, plan, together
from txbox.consumer.loop import Size
from txbox.consumer.policy import Retry
from txbox.consumer.received import Unreadable


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
    assert {key: handling.handler for key, handling in consumer.handlers.items()} == {type_: plain}


@pytest.mark.parametrize("handler", [plain, functools.partial(plain), print], ids=repr)
def test_every_handler_has_a_name_for_people(handler: Any) -> None:
    assert name_of(handler)


def test_a_plan_has_a_step_for_each_record_in_their_order(consumer: Consumer) -> None:
    consumer.handler("A")(plain)
    consumer.handler("B", alone=True, retry=Retry(attempts=3), then="release")(other := lambda *_: None)
    given_ = [record("A"), record("X"), record("B"), record("A", b"{"), record(None), record("A")]
    steps = plan(consumer.handlers, given_)
    assert [step.record for step in steps] == given_
    assert [type(step) for step in steps] == [Run, Skipped, Run, Unreadable, Skipped, Run]
    first, second = (step.handling for step in steps if isinstance(step, Run) and step.record in given_[:3])
    assert first == Handling(handler=plain, alone=False, retry=None, then="hold")
    assert second == Handling(handler=other, alone=True, retry=Retry(attempts=3), then="release")


@pytest.mark.parametrize(
    ("types", "first"), [("AAA", 3), ("AABA", 2), ("BAA", 1), ("BB", 1), ("XB", 1), ("XAX", 3), ("", 0), ("B", 1)]
)
def test_a_message_that_is_to_be_alone_is_alone(consumer: Consumer, types: str, first: int) -> None:
    consumer.handler("A")(plain)
    consumer.handler("B", alone=True)(plain)
    steps = plan(consumer.handlers, [record(type_) for type_ in types])
    assert together(steps) == steps[:first]


def test_a_type_that_cannot_be_read_may_be_anybodys(consumer: Consumer) -> None:
    consumer.handler("A")(plain)
    assert isinstance(plan(consumer.handlers, [record(b"\xff")])[0], Unreadable)
    assert isinstance(plan({}, [record(b"\xff")])[0], Skipped)


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
