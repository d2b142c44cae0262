"""Kafka's jars: exactly those of kafka.lock, each with the SHA-256 that is written there.

jgo fetches them (from the repositories of its own settings) one by one, without resolving anything: what to fetch was
settled when the lock was made. To make it anew after a change of `ROOTS`:

    python -m txbox.sandbox.jars lock
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from jgo.config import GlobalSettings
from jgo.maven import MavenContext

from txbox.sandbox.errors import DownloadFailed, JarMismatch

KAFKA_VERSION = "4.3.1"
#: the broker, and the smallest thing that shows its log
ROOTS = (f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}", "org.slf4j:slf4j-simple:1.7.36")

_HEADER = """\
# The jars of the sandbox's Kafka: group:artifact:version sha256
# Made by `python -m txbox.sandbox.jars lock`; a jar that differs is refused.
"""
#: Java's start-up cache refuses jars whose time stamp has changed: a jar fetched again must look as before.
_TIME_STAMP = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Jar:
    """One line of the lock."""

    group: str
    artifact: str
    version: str
    sha256: str

    @classmethod
    def from_line(cls, line: str) -> Jar:
        coordinate, sha256 = line.split()
        group, artifact, version = coordinate.split(":")
        return cls(group=group, artifact=artifact, version=version, sha256=sha256)

    def __str__(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"

    @property
    def file_name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


def parse_lock(text: str) -> tuple[Jar, ...]:
    """The jars that a lock file names, in its order."""
    return tuple(Jar.from_line(line) for line in text.splitlines() if line and not line.startswith("#"))


def locked_jars() -> tuple[Jar, ...]:
    """The jars of this release of txbox."""
    return parse_lock((files("txbox.sandbox") / "kafka.lock").read_text())


def provide(jars: Iterable[Jar], folder: Path, progress: Callable[[str], None]) -> list[Path]:
    """The jars' paths in `folder`, fetched into it where missing, every one checked.

    A kill leaves whole jars or none, and the next call fetches the rest.

    Raises:
        DownloadFailed: a jar is missing and cannot be fetched.
        JarMismatch: a jar, fetched or found, is not the one that is locked.
    """
    jars = tuple(jars)
    folder.mkdir(parents=True, exist_ok=True)
    if missing := [jar for jar in jars if not (folder / jar.file_name).exists()]:
        _fetch(missing, folder, progress)
    for jar in jars:
        check(jar, folder / jar.file_name)
    return [folder / jar.file_name for jar in jars]


def check(jar: Jar, path: Path) -> None:
    """Raise JarMismatch unless the file at `path` is `jar`."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != jar.sha256:
        raise JarMismatch(str(jar), path, jar.sha256, found)


def _fetch(jars: list[Jar], folder: Path, progress: Callable[[str], None]) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="txbox-jars-") as staging,
        ThreadPoolExecutor(8, thread_name_prefix="jars") as pool,
    ):
        maven = _maven(Path(staging))
        arrivals = pool.map(lambda jar: _fetch_one(maven, jar, folder), jars)
        for count, _ in enumerate(arrivals, 1):
            if count % 10 == 0 or count == len(jars):
                progress(f"fetching Kafka {KAFKA_VERSION}, once: {count} of {len(jars)} jars")


def _maven(staging: Path) -> MavenContext:
    """jgo as the user has set it up. Its own cache is only read: a download cut short there would look complete."""
    settings = GlobalSettings.load()
    return MavenContext(
        repo_cache=staging,
        local_repos=[settings.repo_cache],
        remote_repos=MavenContext().remote_repos | settings.repositories,
        timeout=30,
    )


def _fetch_one(maven: MavenContext, jar: Jar, folder: Path) -> None:
    artifact = maven.project(jar.group, jar.artifact).at_version(jar.version).artifact()
    try:
        source = artifact.resolve()
    except (OSError, RuntimeError) as error:  # requests' errors are OSErrors; jgo says RuntimeError for "not found"
        raise DownloadFailed(str(jar), str(error)) from error
    check(jar, source)
    new = folder / f".{jar.file_name}.{os.getpid()}.new"
    shutil.copyfile(source, new)
    os.utime(new, (_TIME_STAMP, _TIME_STAMP))
    new.replace(folder / jar.file_name)


def lock(roots: Iterable[str] = ROOTS) -> str:
    """The text of a lock file for `roots` and all that they need at run time."""
    maven = MavenContext()
    named, needed = maven.resolver.resolve([maven.create_dependency(root) for root in roots])
    artifacts = {str(one.artifact): one.artifact for one in [*named, *needed] if one.scope not in ("test", "provided")}
    lines = (
        f"{one.groupId}:{one.artifactId}:{one.version} {hashlib.sha256(one.resolve().read_bytes()).hexdigest()}"
        for one in artifacts.values()
    )
    return _HEADER + "".join(f"{line}\n" for line in sorted(lines))


if __name__ == "__main__":
    if sys.argv[1:] != ["lock"]:
        sys.exit("usage: python -m txbox.sandbox.jars lock")
    Path(str(files("txbox.sandbox") / "kafka.lock")).write_text(lock())
