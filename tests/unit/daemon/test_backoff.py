"""How long to wait before the next try."""

from hypothesis import given
from hypothesis import strategies as st

from txbox.daemon import Backoff

failures = st.integers(1, 10_000)
spreads = st.floats(0, 1)
backoffs = st.builds(Backoff, first=st.floats(0.001, 10), cap=st.floats(0.001, 1000))


@given(backoffs, failures, spreads)
def test_no_wait_is_longer_than_the_longest(backoff: Backoff, failed: int, spread: float) -> None:
    assert 0 < backoff.delay(failed, lambda: spread) <= backoff.cap


@given(backoffs, failures, spreads)
def test_waits_never_grow_shorter_and_at_most_double(backoff: Backoff, failed: int, spread: float) -> None:
    this, following = (backoff.delay(n, lambda: spread) for n in (failed, failed + 1))
    assert this <= following <= 2 * this * (1 + 1e-9)


@given(backoffs, failures)
def test_jitter_is_half_of_a_wait(backoff: Backoff, failed: int) -> None:
    shortest, longest = backoff.delay(failed, lambda: 0.0), backoff.delay(failed, lambda: 1.0)
    assert shortest == longest / 2


def test_the_first_wait_is_the_first() -> None:
    assert [Backoff(first=1, cap=5).delay(n, lambda: 1.0) for n in (1, 2, 3, 4, 5)] == [1, 2, 4, 5, 5]
