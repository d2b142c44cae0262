"""What a broker needs to run: Java, the jars, and Java's cache of a start already made."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from txbox.sandbox.folders import cache_folder
from txbox.sandbox.jars import KAFKA_VERSION, locked_jars, provide
from txbox.sandbox.java import Java, find_java

_OPTIONS = (
    "-Xms256m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-Xlog:disable",  # the JVM's own remarks about its start-up cache; Kafka's log is another
    "-Xlog:all=error:stdout",
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
)


class Runtime:
    """Java with Kafka's jars on its class path.

    A broker that runs with `learn` writes, when it ends, a cache of loaded and linked classes that `adopt` keeps for
    all later starts of this Kafka on this Java: they take a third of the time.
    """

    def __init__(self, progress: Callable[[str], None]) -> None:
        self._progress = progress
        self._folder = cache_folder() / f"kafka-{KAFKA_VERSION}"

    @cached_property
    def java(self) -> Java:
        return find_java()

    @cached_property
    def class_path(self) -> str:
        return ":".join(str(jar) for jar in provide(locked_jars(), self._folder, self._progress))

    @property
    def start_cache(self) -> Path:
        """Where this Java's cache is, or will be."""
        return self._folder / f"java-{self.java.build}.aot"

    @property
    def has_learned(self) -> bool:
        """Whether there is nothing more to learn: it is on disk, or this Java has no such cache."""
        return not self.java.has_aot_cache or self.start_cache.exists()

    def command(self, main: str, *arguments: str | Path, learn: Path | None = None) -> list[str | Path]:
        """The command line that runs the class `main` with what was learned so far, or learning into a file."""
        cache: list[str] = []
        if learn:
            cache = [f"-XX:AOTCacheOutput={learn}"]
        elif self.start_cache.exists():  # Java itself ignores a damaged one
            cache = [f"-XX:AOTCache={self.start_cache}"]
        return [self.java.binary, *_OPTIONS, *cache, "-cp", self.class_path, main, *arguments]

    def adopt(self, learned: Path) -> None:
        """Keep what a broker that has ended in good order has learned."""
        new = self.start_cache.with_name(f".{self.start_cache.name}.{os.getpid()}.new")
        shutil.copyfile(learned, new)
        new.replace(self.start_cache)
