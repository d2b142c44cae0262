"""Which rows go and which are held."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.relay.rows import row
from txbox.relay.batch import Diverted, Plan, Reason, Row
from txbox.relay.errors import TopicMissing, Undeliverable
from txbox.relay.held import divide, key_of, keys_of, undisturbed

#: what becomes of a row, by its payload
REFUSED, MISSING, GOOD = b"refused", b"missing", b"good"

KEYS = st.sampled_from(["a", "b", "c", None])
FATES = st.sampled_from([REFUSED, GOOD, GOOD, GOOD])


@st.composite
def batches(draw: st.DrawFn, fates: st.SearchStrategy[bytes] = FATES) -> list[Row]:
    made = draw(st.lists(st.tuples(KEYS, fates, st.sampled_from(["t", "u"])), max_size=12))
    return [row(seq, fate, topic)._replace(key=key) for seq, (key, fate, topic) in enumerate(made, 1)]


HELD = st.sets(st.tuples(st.sampled_from(["t", "u"]), st.sampled_from(["a", "b", "c"])))
SUSPECTS = st.sets(st.integers(1, 12).map("id-{}".format))


def obstacle(one: Row) -> Undeliverable | TopicMissing | None:
    match one.payload:
        case b"refused":
            return Undeliverable(one.id, one.topic, "too large")
        case b"missing":
            return TopicMissing(one.topic)
    return None


def seqs(rows: Sequence[Row | Diverted]) -> list[int]:
    return [one.seq for one in rows]


@given(batches(), HELD, SUSPECTS, st.booleans())
def test_what_is_taken_is_sent_or_held_each_once_and_in_order(rows, held, suspects, idle):
    plan = divide(rows, held=held, obstacle=obstacle, suspects=suspects, idle=idle)
    assert sorted(seqs(plan.send) + seqs(plan.hold)) == seqs(rows[: plan.taken])
    assert seqs(plan.send) == sorted(seqs(plan.send))
    assert seqs(plan.hold) == sorted(seqs(plan.hold))


@given(batches(), HELD, SUSPECTS)
def test_nothing_is_sent_behind_what_is_held_of_its_key(rows, held, suspects):
    plan = divide(rows, held=held, obstacle=obstacle, suspects=suspects)
    for sent in plan.send:
        key = key_of(sent.topic, sent.key)
        assert key not in held
        assert not [one for one in plan.hold if key and (one.topic, one.key) == key and one.seq < sent.seq]


@given(batches(), HELD)
def test_other_keys_and_rows_without_a_key_flow(rows, held):
    plan = divide(rows, held=held, obstacle=obstacle)
    refused = {key_of(one.topic, one.key) for one in rows if one.payload == REFUSED}
    free = [r.seq for r in rows if r.payload == GOOD and (r.key is None or (r.topic, r.key) not in held | refused)]
    assert set(free) <= set(seqs(plan.send))
    assert plan.taken == len(rows)


@given(batches(), HELD)
def test_the_first_of_a_key_is_refused_and_those_behind_it_follow(rows, held):
    known = set(held)
    for one in divide(rows, held=held, obstacle=obstacle).hold:
        key = key_of(one.topic, one.key)
        assert one.reason is (Reason.FOLLOWS if key in known else Reason.REFUSED)
        assert (one.error is None) == (one.reason is Reason.FOLLOWS)
        known |= {key} if key else set()


@given(batches(st.sampled_from([REFUSED, MISSING, GOOD])), HELD, st.booleans())
def test_a_plan_ends_before_a_missing_topic_whatever_the_policy(rows, held, holds):
    plan = divide(rows, held=held, obstacle=obstacle, holds=holds)
    assert MISSING not in [sent.payload for sent in plan.send]
    if plan.taken < len(rows):
        assert plan.obstacle is not None
        assert rows[plan.taken].payload in ((MISSING,) if holds else (MISSING, REFUSED))


@given(batches(), HELD)
def test_blocking_holds_only_what_stands_behind_an_earlier_hold(rows, held):
    plan = divide(rows, held=held, obstacle=obstacle, holds=False)
    assert {one.reason for one in plan.hold} <= {Reason.FOLLOWS}
    assert keys_of(plan.hold) <= held


@given(batches(), HELD, SUSPECTS, st.booleans())
def test_a_suspect_goes_alone_and_only_while_nothing_is_under_way(rows, held, suspects, idle):
    plan = divide(rows, held=held, obstacle=obstacle, suspects=suspects, idle=idle)
    if suspects & {sent.id for sent in plan.send}:
        assert idle
        assert (len(plan.send), len(plan.hold), plan.taken) == (1, 0, 1)


@pytest.mark.parametrize("holds", [True, False])
def test_rows_without_an_obstacle_all_go(holds: bool):
    rows = [row(1), row(2)]
    assert divide(rows, held=set(), obstacle=obstacle, holds=holds) == Plan(rows, [], 2)


@given(batches(), st.sets(st.integers(1, 12)))
def test_undisturbed_are_those_before_the_first_refused_of_their_key(rows, refused):
    stopped = [one for one in rows if one.seq in refused]
    expected = [
        one
        for one in rows
        if one not in stopped
        and not [r for r in stopped if one.key is not None and keys_of([r]) == keys_of([one]) and r.seq < one.seq]
    ]
    assert undisturbed(rows, stopped) == expected
