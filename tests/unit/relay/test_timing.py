"""When to poll, and when to save."""

import pytest

from tests.unit.relay.rows import batch_of
from txbox.relay.ledger import Saves
from txbox.relay.pace import Pace


class Clock:
    """A time that stands until it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_idle_polls_come_slower_and_slower_up_to_the_longest_wait():
    pace = Pace(0.001, 0.005)
    assert [pace.after(batch_of(0)) for _ in range(5)] == [0.001, 0.002, 0.004, 0.005, 0.005]


def test_rows_bring_the_short_wait_back_and_more_to_read_brings_none():
    pace = Pace(0.001, 0.050)
    for _ in range(10):
        pace.after(batch_of(0))
    assert pace.after(batch_of(1, more=True)) == 0.0
    assert pace.after(batch_of(1)) == 0.001
    assert pace.after(batch_of(0)) == 0.001


def test_first_save_is_due_at_once_and_the_next_after_the_interval(clock: Clock):
    saves = Saves(every=0.1, clock=clock)
    assert saves.due()
    saves.saved(began=clock.now)
    clock.now += 0.099
    assert not saves.due()
    clock.now += 0.002
    assert saves.due()


def test_save_that_takes_long_is_made_seldom(clock: Clock):
    saves = Saves(every=0.1, clock=clock)
    began = clock.now
    clock.now += 0.5
    saves.saved(began)
    clock.now = began + 9.9
    assert not saves.due()
    clock.now = began + 10.0
    assert saves.due()
