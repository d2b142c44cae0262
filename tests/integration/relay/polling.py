"""A polling source on a session of the test's own."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from txbox.daemon import Link
from txbox.relay.batch import Admit, Plan, Row
from txbox.relay.cursor import Cursor
from txbox.relay.poll import Alarm, Poll

__all__ = ["polling"]


def _all(rows: Sequence[Row]) -> Plan:
    return Plan(rows, (), len(rows))


def _never(seqs: Sequence[int]) -> None:
    raise AssertionError(f"rows in gaps that were void: {seqs}")


def polling(
    session: Link[Any],
    cursor: Cursor,
    *,
    batch: int = 2000,
    admit: Admit = _all,
    alarm: Alarm = _never,
    clock: Callable[[], float] = time.monotonic,
) -> Poll:
    """Start one that takes all rows, unless it is told otherwise, and for which a late row is a failure."""
    poll = Poll(session, "txbox", batch=batch, template="{aggregate}", admit=admit, alarm=alarm, clock=clock)
    poll.start(cursor)
    return poll
