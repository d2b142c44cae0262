"""Who is killed when, and where. Pure: the same seed gives the same kills."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from txbox.daemon import POINTS

__all__ = ["Kill", "Target", "schedule"]

Target = Literal["relay", "billing"]

#: the service in which a failpoint lies, by the first part of its name
_SERVICES: Final[dict[str, Target]] = {"relay": "relay", "consumer": "billing"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """One kill -9."""

    #: seconds after the start; one at a failpoint comes when the process passes there
    at: float
    target: Target
    #: where the process kills itself; None: the killer kills it, wherever it is
    failpoint: str | None


def schedule(kills: int, seconds: float, seed: int, points: Sequence[str] = tuple(POINTS)) -> list[Kill]:
    """Return `kills` kills, spread over `seconds`: each failpoint once, in random order, the rest at random moments.

    With fewer kills than failpoints, a random choice of these.
    """
    rng = random.Random(seed)  # noqa: S311  # for the demonstration, not for secrets
    chosen: list[str | None] = list(rng.sample(list(points), min(kills, len(points))))
    chosen += [None] * (kills - len(chosen))
    rng.shuffle(chosen)
    # The first and last tenth are left in peace: something must run before it is killed, and recover afterwards.
    span = seconds * 0.8 / max(kills, 1)
    planned = []
    for n, failpoint in enumerate(chosen):
        at = seconds * 0.1 + span * (n + rng.uniform(0.1, 0.9))
        target = _SERVICES[failpoint.partition(".")[0]] if failpoint else rng.choice(tuple(_SERVICES.values()))
        planned.append(Kill(at=at, target=target, failpoint=failpoint))
    return planned
