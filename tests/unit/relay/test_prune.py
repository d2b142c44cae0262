"""How pruning walks over the outbox, and how much of the time it takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txbox.relay.prune import Found, Stride, pause, prune

#: rows by seq: whether each is old enough to go
tables = st.dictionaries(st.integers(1, 2000), st.booleans(), max_size=300)
speeds = st.floats(min_value=1e-7, max_value=10.0)


def look(table: dict[int, bool], stride: Stride) -> Found:
    """One batch over a table that is a dictionary."""
    seen = sorted(seq for seq in table if seq >= stride.start)[: stride.rows]
    old = [seq for seq in seen if table[seq]]
    for seq in old:
        del table[seq]
    young = next((seq for seq in seen if seq in table), None)
    last = seen[-1] if seen else None
    return Found(seen=len(seen), old=len(old), deleted=len(old), last=last, young=young)


def walk(table: dict[int, bool], stride: Stride, took: float) -> Stride:
    """Batches up to the end of a walk; each goes on where the one before it ended."""
    while True:
        found = look(table, stride)
        following = stride.after(found, took)
        if following.done:
            return following
        assert found.last is not None
        assert following.start == found.last + 1
        stride = following


@given(st.integers(0, 5000), st.integers(0, 5000), speeds)
def test_a_walk_takes_all_old_rows_and_the_next_one_begins_at_the_first_that_was_too_young(
    old: int, young: int, took: float
):
    table = dict.fromkeys(range(1, old + 1), True) | dict.fromkeys(range(old + 1, old + young + 1), False)
    end = walk(table, Stride(), took)
    assert not any(table.values())
    assert len(table) == young
    assert end.start == (old + 1 if old + young else 0)


@given(tables, speeds)
def test_rows_that_were_passed_too_young_go_in_a_later_walk(table: dict[int, bool], took: float):
    stride = walk(table, Stride(rows=50), took)
    for seq in table:
        table[seq] = True
    # One written since lies above all of them.
    table[3000] = True
    walk(table, stride, took)
    assert table == {}


def test_rows_whose_time_has_not_come_are_not_read_through():
    table = dict.fromkeys(range(1, 100_000), False)
    stride = Stride()
    assert look(table, stride).seen == stride.rows
    assert stride.after(look(table, stride), 0.001).done


@given(st.lists(speeds, min_size=1, max_size=50))
def test_a_batch_is_bounded_whatever_the_server_does(costs: list[float]):
    stride = Stride()
    for took in costs:
        before = stride.rows
        stride = stride.after(Found(seen=before, old=before, deleted=before, last=before, young=None), took)
        assert 50 <= stride.rows <= 10_000
        assert stride.rows <= 2 * before


@given(st.floats(min_value=1e-6, max_value=1e-3))
def test_batches_come_to_take_the_time_that_they_should(seconds_a_row: float):
    stride = Stride()
    for _ in range(20):
        found = Found(seen=stride.rows, old=stride.rows, deleted=stride.rows, last=1, young=None)
        stride = stride.after(found, stride.rows * seconds_a_row)
    took = stride.rows * seconds_a_row
    assert took <= 0.031 or stride.rows == 50
    assert took >= 0.020 or stride.rows == 10_000


@given(st.lists(speeds, min_size=1))
def test_deleting_takes_its_share_of_the_time_and_no_more(costs: list[float]):
    assert sum(costs) / sum(took + pause(took) for took in costs) == pytest.approx(0.03)


def test_a_clock_that_stands_or_goes_back_makes_no_negative_wait():
    assert pause(0.0) == pause(-1.0) == 0.0
    found = Found(seen=500, old=500, deleted=500, last=500, young=None)
    assert Stride().after(found, -1.0).rows == Stride().after(found, 0.0).rows == 1000


def test_a_connection_whose_transaction_would_stay_open_is_refused():
    class Conn:
        autocommit = False

    with pytest.raises(ValueError, match="autocommit"):
        prune(Conn(), 0.0)  # type: ignore[arg-type]
