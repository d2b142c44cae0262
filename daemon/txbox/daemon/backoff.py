"""How long to wait before the next try."""

import random
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Backoff"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Doubling waits with jitter, so that many who failed together do not come back together."""

    #: seconds before the second try
    first: float = 0.1
    #: seconds at most
    cap: float = 10.0

    def delay(self, failures: int, spread: Callable[[], float] = random.random) -> float:
        """Return seconds to wait after `failures` failures in a row (1 or more): half to all of the doubled wait.

        >>> Backoff(first=1, cap=60).delay(3, spread=lambda: 1.0)
        4.0
        """
        # 2**63 is beyond any cap; without a bound the power itself would grow for ever in a long outage.
        whole = min(self.cap, self.first * 2.0 ** min(failures - 1, 63))
        return whole * (0.5 + spread() / 2)
