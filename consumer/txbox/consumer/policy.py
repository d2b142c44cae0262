"""How often a message is tried, and what becomes of it then. Pure."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from txbox.consumer.errors import Reject
from txbox.daemon import Backoff

__all__ = ["Dead", "Fate", "Reason", "Retry", "Then", "Waiting", "fate"]

#: what a dead message does to those behind it in its key: keep them waiting for a person, or let them go on
Then = Literal["hold", "release"]


class Reason(StrEnum):
    """Why a message is held. The column `reason` of held_messages has these."""

    #: its handler failed, and will be tried again
    FAILED = "failed"
    #: one before it in its key is held
    FOLLOWS = "follows"
    #: its handler failed as often as it may
    ATTEMPTS = "attempts"
    #: its handler said that trying again is of no use
    REJECTED = "rejected"
    #: no handler can be given it
    UNREADABLE = "unreadable"
    #: it has no id, so a copy of it could not be known as one
    NO_ID = "no_id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often a message is tried before it is dead, and how long it waits in between: doubling, with jitter.

    The defaults take about seven minutes.
    """

    #: runs of the handler, the first one among them
    attempts: int = 16
    #: seconds after the first failure, and at most
    first: float = 0.050
    cap: float = 60.0
    #: errors after which no other try will do: the message is dead at once
    never: tuple[type[Exception], ...] = ()


@dataclass(frozen=True, slots=True)
class Waiting:
    """The message is tried again, after so many seconds."""

    delay: float
    reason: Reason = Reason.FAILED


@dataclass(frozen=True, slots=True)
class Dead:
    """The message waits for a person."""

    reason: Reason


Fate = Waiting | Dead


def fate(retry: Retry, error: Exception, attempts: int, spread: Callable[[], float] = random.random) -> Fate:
    """Return what becomes of a message whose handler failed for the `attempts`-th time."""
    if isinstance(error, (Reject, *retry.never)):
        return Dead(Reason.REJECTED)
    if attempts >= retry.attempts:
        return Dead(Reason.ATTEMPTS)
    return Waiting(Backoff(first=retry.first, cap=retry.cap).delay(attempts, spread))
