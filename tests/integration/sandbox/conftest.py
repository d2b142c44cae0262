"""Folders for servers."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from txbox.sandbox import Sandbox


@contextmanager
def new_open_folder() -> Iterator[Path]:
    """A folder that any user may enter, unlike pytest's own: as root, PostgreSQL runs as somebody else."""
    folder = Path(tempfile.mkdtemp(prefix="txbox-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder for servers."""
    with new_open_folder() as folder:
        yield folder


@pytest.fixture
def home(open_folder: Path) -> Iterator[Path]:
    """The folder of a sandbox that is down when the test ends, however it ends."""
    folder = open_folder / "sandbox"
    yield folder
    Sandbox(folder).down()
