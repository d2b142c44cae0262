"""The plan of the kills."""

import pytest

from txbox.daemon import POINTS
from txbox.demo.killer import schedule


def test_each_failpoint_kills_once_and_the_rest_of_the_kills_come_anywhere() -> None:
    plan = schedule(30, 40.0, 7)
    assert sorted(kill.failpoint for kill in plan if kill.failpoint) == sorted(POINTS)
    assert len(plan) == 30
    assert {kill.target for kill in plan if kill.failpoint is None} == {"relay", "billing"}


@pytest.mark.parametrize("kills", [0, 1, 5, 11, 60])
def test_kills_come_in_order_and_leave_the_first_and_the_last_tenth_in_peace(kills: int) -> None:
    plan = schedule(kills, 40.0, 1)
    times = [kill.at for kill in plan]
    assert len(plan) == kills
    assert times == sorted(times)
    assert all(4.0 <= at <= 36.0 for at in times)


def test_a_seed_is_a_plan() -> None:
    assert schedule(14, 40.0, 3) == schedule(14, 40.0, 3) != schedule(14, 40.0, 4)


def test_only_the_places_that_are_named_are_used_each_in_its_own_service() -> None:
    plan = schedule(4, 40.0, 1, ["consumer.retrying", "relay.acked"])
    assert {(kill.failpoint, kill.target) for kill in plan if kill.failpoint} == {
        ("consumer.retrying", "billing"),
        ("relay.acked", "relay"),
    }
