"""Run the tests against each mutant, in a copy of the tree; print which were caught; exit 1 if one lives."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.mutants.adoption import ADOPTION
from tests.mutants.consumer import CONSUMER
from tests.mutants.context import CONTEXT
from tests.mutants.cursor import CURSOR
from tests.mutants.deployed import DEPLOYED
from tests.mutants.doors import DOORS
from tests.mutants.handled import HANDLED
from tests.mutants.members import MEMBERS
from tests.mutants.pages import PAGES
from tests.mutants.partitions import PARTITIONS
from tests.mutants.roles import ROLES
from tests.mutants.secrets import SECRETS
from tests.mutants.table import MUTANTS, Mutant
from tests.mutants.watching import WATCHING
from txbox.sandbox import Sandbox

ROOT = Path(__file__).parent.parent.parent
ALL = (
    *ADOPTION,
    *CONSUMER,
    *CONTEXT,
    *CURSOR,
    *DEPLOYED,
    *DOORS,
    *HANDLED,
    *MEMBERS,
    *MUTANTS,
    *PAGES,
    *PARTITIONS,
    *ROLES,
    *SECRETS,
    *WATCHING,
)
ROOMS = ("schema", "outbox", "daemon", "relay", "consumer", "sandbox", "demo", "doctor", "cli")


def main(chosen: str) -> int:
    """Run all mutants, or those whose name has `chosen` in it."""
    lived = []
    with tempfile.TemporaryDirectory(prefix="txbox-mutants-") as folder, Sandbox(fsync=False) as servers:
        copy = Path(folder) / "txbox"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", ".venv", ".*_cache", "__pycache__"))
        env = {
            **os.environ,
            "TXBOX_TEST_DATABASE_URL": servers.database_url,
            "TXBOX_TEST_KAFKA": servers.bootstrap_servers,
            "PYTHONPATH": ":".join(str(copy / room) for room in ROOMS),  # before the tree that is installed
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        for mutant in (mutant for mutant in ALL if chosen in mutant.name):
            began = time.monotonic()
            caught = is_caught(mutant, copy, env)
            print(f"{'caught' if caught else 'LIVES ':<7} {time.monotonic() - began:5.1f}s  {mutant.name}", flush=True)
            lived += [] if caught else [mutant.name]
    print(f"{len(lived)} of the mutants live" if lived else "all mutants were caught")
    return 1 if lived else 0


def is_caught(mutant: Mutant, copy: Path, env: dict[str, str]) -> bool:
    """Return whether tests fail (not: cannot be run) with the mutant in the place of the right code."""
    path = copy / mutant.file
    right = path.read_text()
    if right.count(mutant.old) != 1:
        sys.exit(f"{mutant.file} has {right.count(mutant.old)} places for the mutant {mutant.name!r}: mend the table")
    path.write_text(right.replace(mutant.old, mutant.new))
    try:
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *mutant.tests.split()]
        try:
            done = subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True, timeout=120)
        except subprocess.TimeoutExpired:
            return True  # a test that waits for a promise in vain
        if done.returncode not in (0, 1):
            sys.exit(f"the tests of {mutant.name!r} could not be run:\n{done.stdout}{done.stderr}")
        return done.returncode == 1
    finally:
        path.write_text(right)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else ""))
