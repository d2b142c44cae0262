"""What is to be done about the outbox's partitions."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txbox.schema import Layout, Part, Step, next_step, planned
from txbox.schema.partitions import AHEAD, FAR, ROWS


def part(lower: int | None, upper: int | None) -> Part:
    return Part(name=f"outbox_p{lower}", lower=lower, upper=upper)


def made(drawn: int, *, start: int = FAR, rows: int = 100, count: int = AHEAD) -> Layout:
    """An outbox as partitioning leaves it."""
    bounds = [start + n * rows for n in range(count + 1)]
    parts = [part(low, high) for low, high in pairwise(bounds)]
    return Layout(parts=(part(None, start), *parts, part(bounds[-1], None)), drawn=drawn)


@pytest.mark.parametrize(
    ("now", "step"),
    [
        (Layout(parts=None, drawn=5), Step.WRAP),
        (Layout(parts=(part(None, None),), drawn=0), Step.CLOSE),
        (Layout(parts=(part(None, None),), drawn=5), Step.CLOSE),
        (Layout(parts=(), drawn=5), Step.CLOSE),
        (made(0), Step.JUMP),
        (made(FAR // 3), Step.JUMP),
        (made(FAR - 1), None),
        (made(FAR), None),
        (made(FAR + 399), None),
        (made(FAR + 400), Step.EXTEND),
        (made(FAR + 799), Step.EXTEND),
        (made(FAR + 800), Step.CLOSE),
        (made(FAR + 10**9), Step.CLOSE),
    ],
    ids=str,
)
def test_the_next_step_is_the_one_that_keeps_room_ahead_of_the_writers(now: Layout, step: Step | None):
    assert next_step(now) is step
    assert planned(now)[:1] == ((step,) if step else ())


@given(st.integers(0, 2 * FAR))
def test_a_row_always_has_one_place(drawn: int):
    parts = made(drawn).parts or ()
    assert sum((p.lower or 0) <= drawn and (p.upper is None or drawn < p.upper) for p in parts) == 1


def test_new_partitions_are_as_large_as_the_last_one():
    assert made(FAR, rows=77).rows == 77
    assert Layout(parts=(part(None, FAR),), drawn=0).rows == ROWS
    assert Layout(parts=(part(1, 2 * FAR),), drawn=0).rows == ROWS, "a closed one says nothing of what was wanted"


def test_only_what_has_no_upper_end_is_pruned_row_by_row():
    assert made(0, rows=100).loose_from == FAR + AHEAD * 100
    assert Layout(parts=None, drawn=0).loose_from == Layout(parts=(part(None, None),), drawn=0).loose_from == 0
