"""Names that nothing reads, and what was probably meant."""

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Final

__all__ = ["meant", "strange_variables"]

#: variables that begin with these have free names: librdkafka's, and the tests'
_FREE: Final = ("TXBOX_KAFKA__CLIENT__", "TXBOX_TEST_")
#: those that are read elsewhere
_OTHERS: Final = frozenset(
    {"TXBOX_CONFIG", "TXBOX_FAILPOINT", "TXBOX_FAILPOINTS", "TXBOX_CACHE_DIR", "TXBOX_SANDBOX", "TXBOX_SANDBOX_DIR"}
)
#: those that Kubernetes makes of a service that is called txbox-something
_SERVICE: Final = re.compile(r"TXBOX_\w+_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP)(_\w+)?)")


def meant(name: str, known: Iterable[str], prefix: str = "") -> str:
    """Return a guess at what a name was to be, for the end of a sentence; nothing if none comes near.

    Names are compared without the `prefix` that all of them have.
    """
    close = difflib.get_close_matches(name.removeprefix(prefix), [one.removeprefix(prefix) for one in known], n=1)
    return f", did you mean {prefix + close[0]!r}?" if close else ""


def strange_variables(environment: Mapping[str, str], variables: Iterable[str]) -> list[str]:
    """Return what is to be said of variables that begin as ours do and are none of `variables`, nor files of theirs."""
    ours = {name for name in variables if name.startswith("TXBOX_")}
    read = sorted(ours | {f"{name}_FILE" for name in ours} | _OTHERS)
    return [
        f"the environment's {name} is no setting{meant(name, read, 'TXBOX_')}"
        for name, value in sorted(environment.items())
        if name.startswith("TXBOX_") and not name.startswith(_FREE) and name not in read
        if not _SERVICE.fullmatch(name) and not value.startswith(("tcp://", "udp://"))
    ]
