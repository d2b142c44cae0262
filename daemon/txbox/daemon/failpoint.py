"""Places where a test may kill, stop, fail or delay a process. One function, one list.

    TXBOX_FAILPOINTS=1 TXBOX_FAILPOINT=relay.acked:kill:3 txbox relay run

dies the third time that it passes `relay.acked`. Without TXBOX_FAILPOINTS=1 nothing here does anything.
"""

import logging
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, Self, get_args

from txbox.daemon.errors import Failed, UnknownFailpoint

__all__ = ["POINTS", "failpoint"]

Action = Literal["kill", "stop", "raise", "sleep"]

#: every failpoint, in the order in which a message passes them, with what has just happened there
POINTS: Final[Mapping[str, str]] = {
    "relay.read": "rows were read, none of them produced",
    "relay.produced": "rows were handed to librdkafka, none of them acked",
    "relay.acked": "Kafka acked rows, the cursor is not saved",
    "relay.saved": "the cursor is saved",
    "relay.retried": "Kafka acked rows that were held, the table holds them still",
    "relay.released": "they are deleted, and those behind them due",
    "consumer.handling": "ids are claimed, the handlers have not run",
    "consumer.handled": "the handlers have run, nothing is committed",
    "consumer.committed": "the effects are committed, Kafka's offsets are not",
    "consumer.holding": "messages were put aside, nothing is committed",
    "consumer.retrying": "a message that was held is tried again, its handler has not run",
}

_SECONDS: Final = 3.0  # of the action `sleep`

_log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class _Armed:
    """The one failpoint of this process, from its environment."""

    name: str
    action: Action
    #: passes until it acts
    left: int

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self | None:
        """Read TXBOX_FAILPOINT. Raises UnknownFailpoint: a test that names none of ours would pass for nothing."""
        text = env.get("TXBOX_FAILPOINT")
        if env.get("TXBOX_FAILPOINTS") != "1" or not text:
            return None
        name, _, rest = text.partition(":")
        action, _, nth = rest.partition(":")
        if name not in POINTS or action not in get_args(Action) or not (nth or "1").isdecimal():
            raise UnknownFailpoint(
                f"TXBOX_FAILPOINT={text!r}: write name:action or name:action:nth, "
                f"name one of {', '.join(POINTS)}, action one of {', '.join(get_args(Action))}"
            )
        _log.warning("failpoint armed, this process is under test: %s", text)
        return cls(name=name, action=action, left=int(nth or 1))  # type: ignore[arg-type]  # checked above

    def act(self) -> None:
        """Do what the test asked for."""
        _log.warning("failpoint %s: %s", self.name, self.action)
        match self.action:
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "stop":
                os.kill(os.getpid(), signal.SIGSTOP)
            case "sleep":
                time.sleep(_SECONDS)
            case "raise":
                raise Failed(f"failpoint {self.name}")


_armed = _Armed.from_env(os.environ)


def failpoint(name: str) -> None:
    """Mark a place by its name in `POINTS`. Costs one comparison unless a test armed one."""
    if _armed is not None and _armed.name == name:
        _armed.left -= 1
        if _armed.left == 0:
            _armed.act()
