"""The cursor's decisions, one by one."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txbox.relay.cursor import (
    Answer,
    Cursor,
    Frontier,
    Gap,
    Holder,
    Question,
    Snapshot,
    _joined,
    _missing,
    _split,
    _without,
)

A, B, C = Holder("3/1", 101), Holder("3/2", 102), Holder("3/3", 103)
NO_XID = Holder("3/4")
ALL_ENDED = Snapshot(1000, frozenset())

GAP_SETS = st.sets(st.integers(1, 60)).map(lambda seqs: _joined(Gap(seq, seq) for seq in seqs))
SEQS = st.sets(st.integers(1, 60)).map(sorted)


def asked(frontier: Frontier, *seqs: int, cut: bool = False) -> Frontier:
    """The frontier after a poll that read no holders and was shown `seqs`."""
    return frontier.apply(frontier.question(), Answer(seqs=seqs, cut=cut))


def gap_of(*holders: Holder) -> Frontier:
    """Rows 1 and 3 are done; the gap at 2 was asked for after its holders were read."""
    return asked(asked(Frontier.of(Cursor()), 1, 3).observe(holders))


def members(gaps: tuple[Gap, ...]) -> set[int]:
    return {seq for first, last in gaps for seq in range(first, last + 1)}


def test_first_cursor_begins_before_the_first_row():
    assert Frontier.of(Cursor()).question() == Question(tail=0, gaps=(), left_out=frozenset())


def test_unseen_seqs_below_the_last_row_become_gaps_in_ranges():
    assert asked(Frontier.of(Cursor()), 2, 6, 7).cursor == Cursor(7, (Gap(1, 1), Gap(3, 5)))


def test_rollback_of_a_million_rows_is_one_gap():
    frontier = asked(Frontier.of(Cursor()), 1_000_001)
    assert frontier.cursor == Cursor(1_000_001, (Gap(1, 1_000_000),))
    assert frontier.gap_count == 1


def test_row_that_was_seen_closes_its_gap_and_splits_a_range():
    frontier = asked(asked(Frontier.of(Cursor()), 10), 4, 5, 11)
    assert frontier.cursor == Cursor(11, (Gap(1, 3), Gap(6, 9)))


def test_unknown_holders_are_not_none_however_often_a_gap_is_asked_for():
    frontier = asked(asked(asked(Frontier.of(Cursor()), 1, 3)))
    assert frontier.cursor == Cursor(3, (Gap(2, 2),))
    assert frontier.question().gaps == (Gap(2, 2),)


def test_gap_without_holders_is_void_when_a_later_statement_does_not_show_it():
    frontier = asked(Frontier.of(Cursor()), 1, 3).observe([])
    assert frontier.cursor == Cursor(3, (Gap(2, 2),))
    assert asked(frontier).cursor == Cursor(3)


def test_gap_that_its_last_holder_filled_is_seen_and_not_void():
    frontier = gap_of(A).observe([])
    question = frontier.question()
    assert question.gaps == (Gap(2, 2),)
    assert frontier.apply(question, Answer(seqs=[2])).cursor == Cursor(3)


def test_who_came_later_does_not_hold_an_older_gap():
    assert asked(gap_of(A).observe([B, C])).cursor == Cursor(3)


def test_holders_are_told_apart_by_vxid_and_not_by_xid():
    frontier = asked(Frontier.of(Cursor()), 1, 3).observe([NO_XID])
    assert frontier.observe([Holder(NO_XID.vxid, 104)]).groups[0].holders == frozenset({Holder(NO_XID.vxid, 104)})


def test_gap_whose_holders_are_all_in_progress_is_left_out_once_it_was_asked():
    frontier = asked(Frontier.of(Cursor()), 1, 3).observe([A, B])
    assert frontier.question().gaps == (Gap(2, 2),)
    assert asked(frontier).question() == Question(tail=3, gaps=(), left_out=frozenset({A, B}))


def test_gap_with_a_holder_that_has_no_xid_is_always_asked_for():
    assert gap_of(A, NO_XID).question().gaps == (Gap(2, 2),)


def test_holder_that_gets_its_xid_is_asked_no_more():
    frontier = gap_of(NO_XID).observe([Holder(NO_XID.vxid, 104)])
    assert frontier.question().left_out == frozenset({Holder(NO_XID.vxid, 104)})


def test_gap_is_asked_for_again_when_one_of_its_holders_has_left():
    frontier = gap_of(A, B).observe([B])
    assert frontier.question().gaps == (Gap(2, 2),)
    assert asked(frontier).question().gaps == ()


def test_everything_leaves_no_gap_out():
    assert gap_of(A).question(everything=True) == Question(tail=3, gaps=(Gap(2, 2),), left_out=frozenset())


def test_gap_that_was_left_out_is_not_touched_by_the_answer():
    assert asked(gap_of(A), 4).cursor == Cursor(4, (Gap(2, 2),))


@pytest.mark.parametrize(
    ("snapshot", "stands"),
    [
        (Snapshot(101, frozenset()), True),
        (Snapshot(200, frozenset({101})), True),
        (Snapshot(200, frozenset({102})), False),
        (None, True),
    ],
    ids=["began after the snapshot", "in progress", "ended", "no row was shown"],
)
def test_leaving_a_gap_out_stands_only_while_its_holder_is_in_progress(snapshot: Snapshot | None, stands: bool):
    assert gap_of(A).question().stands(snapshot) is stands


def test_question_that_leaves_out_nothing_always_stands():
    assert gap_of(A).question(everything=True).stands(ALL_ENDED)


def test_cut_answer_voids_nothing_above_its_last_row():
    frontier = asked(Frontier.of(Cursor()), 10).observe([])
    frontier = asked(frontier, 4, cut=True)
    assert frontier.cursor == Cursor(10, (Gap(5, 9),))
    assert asked(frontier).cursor == Cursor(10)


def test_cut_answer_counts_as_asked_only_up_to_its_last_row():
    frontier = asked(asked(Frontier.of(Cursor()), 10).observe([A]), 4, cut=True)
    assert frontier.cursor == Cursor(10, (Gap(1, 3), Gap(5, 9)))
    assert frontier.question().gaps == (Gap(5, 9),)


def test_answer_of_which_nothing_was_admitted_vouches_for_nothing():
    frontier = asked(Frontier.of(Cursor()), 1, 3).observe([])
    assert asked(frontier, cut=True).cursor == Cursor(3, (Gap(2, 2),))


def test_new_connection_knows_the_saved_gaps_but_not_their_holders():
    saved = gap_of(A).cursor
    assert asked(Frontier.of(saved)).cursor == saved
    assert asked(Frontier.of(saved).observe([])).cursor == Cursor(3)


def test_gaps_that_the_same_transactions_may_fill_are_one_group():
    frontier = asked(asked(Frontier.of(Cursor()), 1, 3), 5, 7).observe([A])
    assert [group.gaps for group in frontier.groups] == [(Gap(2, 2), Gap(4, 4), Gap(6, 6))]


def test_gaps_of_different_transactions_stay_apart():
    frontier = asked(asked(Frontier.of(Cursor()), 1, 3).observe([A]), 5).observe([A, B])
    assert {group.holders for group in frontier.groups} == {frozenset({A}), frozenset({A, B})}


def test_frontier_that_nothing_moved_is_the_same_object():
    frontier = gap_of(A)
    assert asked(frontier) is frontier


def test_read_of_the_same_holders_leaves_nothing_to_save():
    frontier = gap_of(A)
    assert frontier.observe([A, B]) is frontier


def test_first_gap_is_the_least_of_all_groups():
    frontier = asked(asked(Frontier.of(Cursor()), 3).observe([A]), 6).observe([A, B])
    assert frontier.first_gap == 1
    assert Frontier.of(Cursor(5)).first_gap is None


@pytest.mark.parametrize(
    ("text", "xmax", "in_progress"),
    [("100:100:", 100, set()), ("100:105:100,103", 105, {100, 103}), ("4294967298:4294967299:", 4294967299, set())],
)
def test_snapshot_is_read_from_postgres_text(text: str, xmax: int, in_progress: set[int]):
    assert Snapshot.parse(text) == Snapshot(xmax, frozenset(in_progress))


@given(GAP_SETS)
def test_joined_gaps_are_ascending_disjoint_and_no_neighbours(gaps: tuple[Gap, ...]):
    assert all(first <= last for first, last in gaps)
    assert all(low.last + 1 < high.first for low, high in pairwise(gaps))


@given(GAP_SETS, SEQS)
def test_without_takes_out_exactly_the_seqs_that_were_seen(gaps: tuple[Gap, ...], seqs: list[int]):
    assert members(_without(gaps, seqs)) == members(gaps) - set(seqs)


@given(GAP_SETS, st.none() | st.integers(0, 61))
def test_split_loses_no_seq_and_puts_each_on_its_side(gaps: tuple[Gap, ...], at: int | None):
    below, above = _split(gaps, at)
    assert members(below) | members(above) == members(gaps)
    assert all(at is None or seq <= at for seq in members(below))
    assert all(at is not None and seq > at for seq in members(above))


@given(st.integers(0, 20), st.sets(st.integers(21, 60)).map(sorted))
def test_missing_is_all_between_the_tail_and_the_last_seq_that_was_not_seen(tail: int, seqs: list[int]):
    last = seqs[-1] if seqs else tail
    assert members(_missing(tail, seqs)) == set(range(tail + 1, last + 1)) - set(seqs)
