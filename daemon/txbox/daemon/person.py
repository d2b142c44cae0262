"""Who gives a command, for the audit."""

import getpass
import os
from socket import gethostname

__all__ = ["person"]


def person() -> str:
    """Return user@host. A container may run under a number that has no name: then it is that number."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # before Python 3.13 a KeyError
        user = str(os.getuid())
    return f"{user}@{gethostname()}"
