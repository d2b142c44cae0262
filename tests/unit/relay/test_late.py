"""Void gaps are looked at once more."""

from hypothesis import given
from hypothesis import strategies as st

from txbox.relay.cursor import Answer, Cursor, Frontier, Gap
from txbox.relay.late import Voids


def test_a_void_gap_is_due_once_and_a_minute_later():
    voids = Voids()
    voids.note((Gap(3, 5),), now=0.0)
    voids.note((), now=1.0)
    assert voids.due(59.9) == ()
    assert voids.due(60.0) == (Gap(3, 5),)
    assert voids.due(1000.0) == ()


@given(st.lists(st.integers(min_value=0, max_value=4000), max_size=12))
def test_what_is_remembered_is_bounded_and_the_oldest_goes_first(sizes: list[int]):
    voids, first = Voids(), 1
    for now, size in enumerate(sizes):
        voids.note(tuple(Gap(first + 2 * n, first + 2 * n) for n in range(size)), now=float(now))
        first += 2 * size
    due = voids.due(1e9)
    assert len(due) <= 10_000
    assert due == tuple(sorted(due))
    assert not due or due[-1].last == first - 2


def test_a_gap_that_nobody_can_fill_is_told_when_it_is_closed_and_can_be_opened_again():
    frontier = Frontier.of(Cursor(9, (Gap(3, 5),))).observe([])
    answer = Answer(seqs=[4])
    assert frontier.voided(answer) == (Gap(3, 3), Gap(5, 5))
    closed = frontier.apply(frontier.question(), answer)
    assert closed.cursor == Cursor(9)
    assert closed.reopened((Gap(5, 5),)).question().gaps == (Gap(5, 5),)


def test_what_a_cut_answer_does_not_reach_is_not_void():
    frontier = Frontier.of(Cursor(9, (Gap(3, 5),))).observe([])
    assert frontier.voided(Answer(seqs=[4], cut=True)) == (Gap(3, 3),)
    assert Frontier.of(Cursor(9, (Gap(3, 5),))).voided(Answer(seqs=[])) == (), "its holders are unknown"
