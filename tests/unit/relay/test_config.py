"""What a relay's settings may be."""

import pytest

from txbox.relay import RelayConfig, UnfitWait


@pytest.mark.parametrize(("shortest", "longest"), [(0.001, 0.001), (0.001, 10), (10, 10), (0.2, 0.5)])
def test_waits_within_their_range(shortest: float, longest: float) -> None:
    config = RelayConfig(poll_min=shortest, poll_max=longest)
    assert (config.poll_min, config.poll_max) == (shortest, longest)


@pytest.mark.parametrize(
    ("shortest", "longest"),
    [(0, 0.05), (0.0009, 0.05), (-1, 1), (0.1, 0.05), (0.001, 10.1), (61, 62), (1, float("nan"))],
)
def test_waits_that_would_keep_a_core_busy_or_the_leader_silent_are_refused(shortest: float, longest: float) -> None:
    with pytest.raises(UnfitWait, match=r"relay\.poll_min is .* relay\.poll_max .*at most 10 s"):
        RelayConfig(poll_min=shortest, poll_max=longest)
