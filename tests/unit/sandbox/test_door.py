"""What the package offers, and that every error says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

import txbox.sandbox
from txbox.sandbox import (
    AlreadyUp,
    ContainerFailed,
    DownloadFailed,
    JarMismatch,
    NoDocker,
    NoJava,
    NoPostgres,
    NotUp,
    PortTaken,
    SandboxError,
    Servers,
    StartFailed,
    Unreachable,
    WrongData,
)

SERVERS = Servers(
    database_url="", bootstrap_servers="", postgres_version="", kafka_version="", pids={}, dir=Path("/the/folder")
)


def test_all_is_sorted_and_complete():
    assert txbox.sandbox.__all__ == sorted(txbox.sandbox.__all__)
    assert all(hasattr(txbox.sandbox, name) for name in txbox.sandbox.__all__)


@pytest.mark.parametrize(
    ("error", "thing", "mend"),
    [
        (DownloadFailed("g:a:1", "no route"), "g:a:1", "check the network"),
        (JarMismatch("g:a:1", Path("/a.jar"), "aa", "bb"), "g:a:1", "Delete /a.jar"),
        (NoPostgres("why"), "why", "--postgres"),
        (NoJava("why"), "why", "put Java 17"),
        (WrongData("why"), "why", "txbox sandbox reset"),
        (Unreachable(Path("/root/x"), Path("/root")), "/root/x", "chmod o+x /root"),
        (PortTaken("kafka-0", 9092), "127.0.0.1:9092", "End that process"),
        (StartFailed("postgres", "it ended", Path("/log"), "FATAL: disk"), "it ended", "FATAL: disk"),
        (NoDocker("no engine answers", "start it"), "no engine answers", "start it"),
        (ContainerFailed("postgres:18", "it ended", "FATAL: disk"), "postgres:18: it ended", "FATAL: disk"),
        (NotUp("nothing in /x"), "nothing in /x", "txbox sandbox up"),
        (AlreadyUp(SERVERS), "/the/folder", "txbox sandbox down"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_error_names_the_thing_first_and_the_mend_after(error: SandboxError, thing: str, mend: str):
    first, rest = str(error).split("\n", 1)
    assert thing in first
    assert mend in rest
