"""Variables of the environment that were meant for txbox, and that nothing reads."""

import re
from collections.abc import Mapping
from typing import Final

from txbox.cli.settings import SETTINGS, meant

__all__ = ["strange_variables"]

#: variables that begin with these have free names: librdkafka's, and the tests'
_FREE: Final = ("TXBOX_KAFKA__CLIENT__", "TXBOX_TEST_")
#: those that are read elsewhere
_OTHERS: Final = frozenset(
    {"TXBOX_CONFIG", "TXBOX_FAILPOINT", "TXBOX_FAILPOINTS", "TXBOX_CACHE_DIR", "TXBOX_SANDBOX_DIR"}
)
#: those that Kubernetes makes of a service that is called txbox-something
_SERVICE: Final = re.compile(r"TXBOX_\w+_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP)(_\w+)?)")


def strange_variables(environment: Mapping[str, str]) -> list[str]:
    """Return what is to be said of names that begin as ours do and are none; each with what was meant."""
    ours = {name for setting in SETTINGS.values() for name in setting.envvars if name.startswith("TXBOX_")}
    read = sorted(ours | {f"{name}_FILE" for name in ours} | _OTHERS)
    return [
        f"the environment's {name} is no setting{meant(name, read, 'TXBOX_')}"
        for name, value in sorted(environment.items())
        if name.startswith("TXBOX_") and not name.startswith(_FREE) and name not in read
        if not _SERVICE.fullmatch(name) and not value.startswith(("tcp://", "udp://"))
    ]
