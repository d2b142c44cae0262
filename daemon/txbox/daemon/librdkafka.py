"""librdkafka's log, as the events of a standard logger. What it says twenty times a second is said once."""

import logging
import time
from collections.abc import Callable
from typing import Final

__all__ = ["LOGGER", "Sparing"]


class Sparing(logging.Filter):
    """Lets one line of each kind through in `every` seconds.

    A kind is level and facility ("FAIL", "MAXPOLL", ...). With all brokers away each of their threads tells every few
    milliseconds that the connection was refused; /readyz and the metrics tell how it stands.
    """

    def __init__(self, every: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._every, self._clock = every, clock
        self._due: dict[tuple[int, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to let the line through."""
        kind = (record.levelno, record.getMessage().partition(" ")[0])
        now = self._clock()
        if now < self._due.get(kind, now):
            return False
        self._due[kind] = now + self._every
        return True


#: for the `logger=` of every client that we make
LOGGER: Final = logging.getLogger(__name__)
LOGGER.addFilter(Sparing())
