"""A jar is used only if it is the locked one."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from txbox.sandbox import DownloadFailed, JarMismatch
from txbox.sandbox.jars import Jar, provide

TOOL = Jar(group="org.example", artifact="tool", version="1.0", sha256=hashlib.sha256(b"tool").hexdigest())


@pytest.fixture
def maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which jgo keeps jars, holding one; nothing is reached beyond it."""
    settings = tmp_path / "jgo.conf"
    settings.write_text("[repositories]\ncentral = http://127.0.0.1:9\n")  # the discard port: nobody listens
    repository = tmp_path / "m2"
    jar = repository / "org/example/tool/1.0/tool-1.0.jar"
    jar.parent.mkdir(parents=True)
    jar.write_bytes(b"tool")
    monkeypatch.setenv("JGO_CONFIG_FILE", str(settings))
    monkeypatch.setenv("M2_REPO", str(repository))
    return repository


@pytest.mark.usefixtures("maven")
def test_a_jar_is_taken_from_where_jgo_keeps_it(tmp_path: Path):
    said: list[str] = []
    [path] = provide([TOOL], tmp_path / "cache", said.append)
    assert path.read_bytes() == b"tool"
    assert "1 of 1 jars" in said[-1]


def test_a_cached_jar_needs_no_repository(tmp_path: Path, maven: Path):
    provide([TOOL], tmp_path / "cache", lambda _: None)
    (maven / "org/example/tool/1.0/tool-1.0.jar").unlink()
    assert provide([TOOL], tmp_path / "cache", lambda _: None)


@pytest.mark.usefixtures("maven")
def test_a_jar_tampered_with_is_refused(tmp_path: Path):
    [path] = provide([TOOL], tmp_path / "cache", lambda _: None)
    path.write_bytes(b"tool, and more")
    with pytest.raises(JarMismatch, match=f"Delete {path}"):
        provide([TOOL], tmp_path / "cache", lambda _: None)


def test_a_wrong_jar_from_a_repository_is_refused_and_not_kept(tmp_path: Path, maven: Path):
    (maven / "org/example/tool/1.0/tool-1.0.jar").write_bytes(b"another tool")
    with pytest.raises(JarMismatch, match=r"org\.example:tool:1\.0"):
        provide([TOOL], tmp_path / "cache", lambda _: None)
    assert not list((tmp_path / "cache").iterdir())


@pytest.mark.usefixtures("maven")
def test_without_a_network_the_error_names_the_jar_and_the_mend(tmp_path: Path):
    absent = Jar(group="org.example", artifact="absent", version="2.0", sha256=TOOL.sha256)
    with pytest.raises(DownloadFailed, match=r"org\.example:absent:2\.0[\s\S]*check the network"):
        provide([absent], tmp_path / "cache", lambda _: None)
