"""How long to wait before the next poll."""

from txbox.relay.batch import Batch

__all__ = ["Pace"]


class Pace:
    """No wait with more to read, a short one while rows come, then twice as long each time up to the longest."""

    def __init__(self, shortest: float, longest: float) -> None:
        self._shortest, self._longest = shortest, longest
        self._next = shortest

    def after(self, batch: Batch) -> float:
        """Return the seconds to wait after this batch."""
        if batch.rows or batch.hold:
            self._next = self._shortest
            return 0.0 if batch.more else self._shortest
        wait, self._next = self._next, min(self._next * 2, self._longest)
        return wait
