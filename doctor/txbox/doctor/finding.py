"""What a check finds, and how checks follow each other."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import psycopg
from confluent_kafka import KafkaException

from txbox.consumer import ConsumerError
from txbox.daemon import DaemonError
from txbox.daemon.kafka import told
from txbox.doctor.errors import DoctorError
from txbox.relay import RelayError
from txbox.schema import SchemaError

__all__ = ["Check", "Finding", "Level", "examine", "fail", "ok", "skipped", "warn"]

#: their messages have the mend
_TOLD: Final = (DoctorError, SchemaError, RelayError, DaemonError, ConsumerError)

_MEND: Final = re.compile(r"[.:;,]?\s*(?:Mend|Run|then run): ")


class Level(StrEnum):
    """How well it is."""

    OK = "ok"
    #: works, and will not for ever, or not as well as it could
    WARN = "warn"
    #: messages wait, or could be lost
    FAIL = "fail"
    #: not looked at
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is so, and what to do about it."""

    level: Level
    why: str
    mend: str = ""


def ok(why: str) -> Finding:
    """All is well."""
    return Finding(Level.OK, why)


def warn(why: str, mend: str) -> Finding:
    """It works, but."""
    return Finding(Level.WARN, why, mend)


def fail(why: str, mend: str = "") -> Finding:
    """It does not work."""
    return Finding(Level.FAIL, why, mend)


def skipped(why: str, mend: str = "") -> Finding:
    """It was not looked at."""
    return Finding(Level.SKIPPED, why, mend)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to look at."""

    name: str
    look: Callable[[], Finding]
    #: checks that must not have failed before
    needs: tuple[str, ...] = ()


def examine(checks: Iterable[Check]) -> Iterator[tuple[str, Finding]]:
    """Make checks, in order, and yield what each finds; one that cannot be made is skipped, with the reason."""
    without: dict[str, str] = {}
    for check in checks:
        reason = next((without[need] for need in check.needs if need in without), None)
        found = _look(check) if reason is None else skipped(reason)
        if found.level in (Level.FAIL, Level.SKIPPED):
            without[check.name] = reason or f"{check.name} {'failed' if found.level is Level.FAIL else 'was skipped'}"
        yield check.name, found


def _look(check: Check) -> Finding:
    """Return what a check finds; what goes wrong in it is a finding too."""
    try:
        return check.look()
    except _TOLD as error:
        why, *mend = _MEND.split(str(error), maxsplit=1)
        return fail(why, *mend)
    except psycopg.errors.InsufficientPrivilege as error:
        why = error.diag.message_primary or str(error)
        return skipped(f"your own user may not look: {why}", "GRANT txbox_viewer TO your user, or ask as the owner")
    except psycopg.Error as error:
        return fail(f"PostgreSQL: {str(error).strip() or type(error).__name__}")
    except KafkaException as error:
        return fail(f"Kafka: {told(error)}")
    except TimeoutError:
        return fail("Kafka did not answer in time")
