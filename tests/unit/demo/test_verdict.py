"""The verdict: each way to break a promise is counted, and fails it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from txbox.demo.verdict import Charge, Held, Order, Verdict, Wire, judge, percentile

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def order(nth: int, customer: int = 1) -> Order:
    return Order(uuid4(), customer, nth, 10 * nth, NOON + timedelta(seconds=nth))


ORDERS = [order(1), order(1, customer=2), order(2), order(3)]
TOLD = [Wire(o.id, o.customer, o.nth, o.customer) for o in ORDERS]
CHARGED = [Charge(o.id, o.customer, o.nth, o.total, o.placed_at + timedelta(seconds=0.5)) for o in ORDERS]


def verdict(
    wire: Sequence[Wire] = TOLD, charges: Sequence[Charge] = CHARGED, held: Sequence[Held] = (), **other: Any
) -> Verdict:
    owed = sum(charge.amount for charge in charges)
    return judge(ORDERS, wire, charges, owed, held, **other)


def test_it_passes_when_each_order_was_charged_once_and_a_message_may_come_twice() -> None:
    good = verdict([*TOLD, TOLD[0]])
    assert good.passed
    assert (good.orders, good.messages, good.duplicates, good.ordered) == (4, 5, 1, 70)
    assert not judge([], [], [], 0).passed, "of nothing nothing is proven"


SWAPPED = [TOLD[2], TOLD[0], TOLD[1], TOLD[3]]
STRANGER = order(1, customer=3)


@pytest.mark.parametrize(
    ("figure", "bad"),
    [
        ("lost", verdict(charges=CHARGED[:3])),
        ("lost", verdict(wire=TOLD[1:])),
        ("ghosts", verdict(wire=[*TOLD, Wire(STRANGER.id, 3, 1, 0)])),
        ("ghosts", verdict(charges=[*CHARGED, replace(CHARGED[0], order=STRANGER.id, customer=3)])),
        ("misordered", verdict(wire=SWAPPED)),
        ("misordered", verdict(charges=[CHARGED[2], CHARGED[0], CHARGED[1], CHARGED[3]])),
        ("misordered", verdict(wire=[*TOLD[:3], replace(TOLD[3], partition=9)])),
        ("double_effects", verdict(charges=[*CHARGED, CHARGED[0]])),
    ],
)
def test_a_broken_promise_fails_it(figure: str, bad: Verdict) -> None:
    assert getattr(bad, figure) == 1
    assert not bad.passed


def test_money_that_is_owed_and_was_not_charged_fails_it() -> None:
    assert not judge(ORDERS, TOLD, CHARGED, 71).passed


def held(order: UUID | None = None, *, dead: bool = False, left: bool = False) -> Held:
    return Held(uuid4(), order, dead, left)


def test_released_are_orders_that_were_held_and_are_charged() -> None:
    """Those of a message that nobody can read, and of an order that is not charged, are not."""
    late = [held(ORDERS[0].id), held(ORDERS[1].id, dead=True), held(ORDERS[3].id), held(dead=True)]
    found = verdict(charges=CHARGED[:3], held=late, planned_dead=2)
    assert (found.held, found.released, found.dead, found.still_held) == (4, 2, 2, 0)


@pytest.mark.parametrize(
    ("late", "passed"),
    [
        ([held(dead=True)], True),
        ([held(dead=True), held()], True),
        ([], False),
        ([held(dead=True), held(dead=True)], False),
        ([held(dead=True), held(left=True)], False),
        ([held(dead=True, left=True)], False),
    ],
)
def test_as_many_must_die_as_planned_and_nothing_may_be_held_at_the_end(late: list[Held], passed: bool) -> None:
    assert verdict(held=late, planned_dead=1).passed is passed


def test_recovery_is_the_time_to_the_first_charge_of_an_order_placed_after_a_kill() -> None:
    kills = [NOON + timedelta(seconds=1.5), NOON + timedelta(seconds=60)]
    assert verdict(kills=kills).recoveries == [1.0]


@pytest.mark.parametrize(("share", "value"), [(0.0, 1), (0.5, 2), (0.75, 3), (0.99, 4), (1.0, 4)])
def test_a_percentile_is_a_value_that_was_measured(share: float, value: float) -> None:
    assert percentile([3, 1, 4, 2], share) == value
    assert percentile([], share) == 0.0
