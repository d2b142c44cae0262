"""An alarm for what must not happen: a row in a gap that was declared void.

A seq is void when nobody is left who could fill it. If a row shows up there all the same, a rule was broken: somebody
inserted with OVERRIDING SYSTEM VALUE, set the sequence back, or this relay's proof has a hole. So voids are looked at
once more, a minute later. A row that is found is published, late, and people are told.
"""

from collections import deque
from typing import Final

from txbox.relay.cursor import Gaps

__all__ = ["Voids"]

#: seconds from the verdict to the second look
_LATER: Final = 60.0
#: ranges that are remembered at most; beyond them the oldest are looked at no more
_MOST: Final = 10_000


class Voids:
    """Gaps that were closed unseen, until they are looked at again."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[float, Gaps]] = deque()
        self._ranges = 0

    def note(self, gaps: Gaps, now: float) -> None:
        """Remember gaps that were declared void at `now`."""
        if not gaps:
            return
        gaps = gaps[-_MOST:]
        self._waiting.append((now + _LATER, gaps))
        self._ranges += len(gaps)
        while self._ranges > _MOST:
            self._ranges -= len(self._waiting.popleft()[1])

    def due(self, now: float) -> Gaps:
        """Take out and return those that are to be looked at now."""
        due: list[Gaps] = []
        while self._waiting and self._waiting[0][0] <= now:
            due.append(self._waiting.popleft()[1])
            self._ranges -= len(due[-1])
        return tuple(gap for gaps in due for gap in gaps)
