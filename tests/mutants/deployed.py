"""Rules of what systemd is told, and of what is deployed."""

from tests.mutants.table import Mutant

__all__ = ["DEPLOYED"]

_SYSTEMD = "daemon/txbox/daemon/systemd.py"
_NOTICES = "tests/integration/daemon/test_systemd.py"

DEPLOYED = (
    Mutant(
        "the watchdog is fed while the daemon is stuck",
        _SYSTEMD,
        '    if live:\n        yield "WATCHDOG=1"',
        '    if started:\n        yield "WATCHDOG=1"',
        f"{_NOTICES} -k watchdog",
    ),
    Mutant(
        "ready is said before it is",
        _SYSTEMD,
        "started = started or report.ready",
        "started = True",
        f"{_NOTICES} -k until_then",
    ),
    Mutant(
        "a stuck start is given more time",
        _SYSTEMD,
        "    elif live:\n",
        "    else:\n",
        f"{_NOTICES} -k stuck_start",
    ),
    Mutant(
        "a password in the compose file",
        "docker-compose.yml",
        "POSTGRES_PASSWORD_FILE: /run/passwords/postgres",
        "POSTGRES_PASSWORD: secret",
        "tests/unit/deploy -k password",
    ),
    Mutant(
        "a pod is killed before it has the acks",
        "deploy/kubernetes/txbox.yaml",
        "terminationGracePeriodSeconds: 45",
        "terminationGracePeriodSeconds: 30",
        "tests/unit/deploy -k time_that_it_takes",
    ),
)
