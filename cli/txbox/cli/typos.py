"""Variables of the environment that were meant for txbox, and that nothing reads."""

from collections.abc import Iterable
from typing import Final

from txbox.cli.settings import SETTINGS, meant

__all__ = ["strange_variables"]

#: variables that begin with these have free names: librdkafka's, and the tests'
_FREE: Final = ("TXBOX_KAFKA__CLIENT__", "TXBOX_TEST_")
#: those that are read elsewhere
_OTHERS: Final = frozenset(
    {"TXBOX_CONFIG", "TXBOX_FAILPOINT", "TXBOX_FAILPOINTS", "TXBOX_CACHE_DIR", "TXBOX_SANDBOX_DIR"}
)


def strange_variables(names: Iterable[str]) -> list[str]:
    """Return what is to be said of names that begin as ours do and are none; each with what was meant."""
    ours = {name for setting in SETTINGS.values() for name in setting.envvars}
    read = ours | {f"{name}_FILE" for name in ours} | _OTHERS
    return [
        f"the environment's {name} is no setting{meant(name, read)}"
        for name in sorted(names)
        if name.startswith("TXBOX_") and not name.startswith(_FREE) and name not in read
    ]
