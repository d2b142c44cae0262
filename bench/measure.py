"""How work is measured from inside."""

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Result", "measured"]

Result = dict[str, float]


@contextmanager
def measured(messages: int, result: Result) -> Iterator[None]:
    """Fill `result` with messages a second, and CPU microseconds of this process a message."""
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    yield
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    result |= {"per_second": messages / seconds, "cpu_us": cpu / messages * 1e6, "seconds": seconds}
    result |= {"max_rss_mb": after.ru_maxrss / 1024}  # Linux counts kilobytes
