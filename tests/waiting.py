"""Wait for conditions, with a limit; never for time."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(probe: Callable[[], T], *, within: float = 20.0, every: float = 0.02) -> T:
    """Return the first true result of `probe`; fail when there is none within so many seconds.

    It looks at once, and then `every` so many seconds: the pause decides how soon a change is noticed, never whether.
    """
    deadline = time.monotonic() + within
    while True:
        result = probe()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within} s: {probe}, last result {result!r}")
        time.sleep(every)
