"""Programs of Debian's packages, from PATH or unpacked into the cache folder: needs no root."""

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from txbox.sandbox.folders import cache_folder

__all__ = ["environment", "program"]


def program(name: str, *packages: str) -> Path:
    """The program `name`; where there is none on PATH, that of Debian's `packages`. Skips where none can be had."""
    found = _found(name, packages)
    if found is None:
        pytest.skip(f"no {name} on PATH, and Debian's cannot be fetched: apt-get install {packages[0]}")
    return found


def environment(found: Path) -> dict[str, str]:
    """What a program needs that was unpacked: its libraries lie beside it."""
    if not found.is_relative_to(cache_folder()):
        return dict(os.environ)
    libraries = (str(folder) for folder in found.parent.parent.glob("lib/*-linux-*"))
    return {**os.environ, "LD_LIBRARY_PATH": ":".join(libraries)}


@cache
def _found(name: str, packages: tuple[str, ...]) -> Path | None:
    if on_path := shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin"):
        return Path(on_path)
    root = cache_folder() / packages[0]
    try:
        if not root.exists():
            _fetch(root, packages)
        [unpacked] = root.glob(f"usr/*bin/{name}")
        subprocess.run([unpacked, "--version"], env=environment(unpacked), capture_output=True, check=True)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return unpacked


def _fetch(root: Path, packages: tuple[str, ...]) -> None:
    """Unpack packages into a folder, which appears whole or not at all."""
    new = root.with_name(f".{root.name}.{os.getpid()}.new")
    new.mkdir(parents=True)
    try:
        subprocess.run(["apt-get", "download", *packages], cwd=new, capture_output=True, check=True, timeout=120)
        for package in new.glob("*.deb"):
            subprocess.run(["dpkg", "-x", package, new], capture_output=True, check=True)
        new.chmod(0o755)
        new.rename(root)
    finally:
        shutil.rmtree(new, ignore_errors=True)
