"""`make site`: the pages as a site that needs nothing from elsewhere."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.pages import PAGES, ROOT

#: what a browser fetches by itself; a link that a reader clicks is another thing
_FETCHED = re.compile(r"<(?:script|img|iframe|link)[^>]*(?:src|href)=[\"']?(?:https?:)?//[^\"' >]+")


def test_every_page_is_there_and_nothing_is_fetched_from_elsewhere(tmp_path: Path):
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(ROOT / "zensical.toml", tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    made = {page.stem: page.read_text() for page in (tmp_path / "site").glob("*.html")}
    assert {page.stem for page in PAGES[1:]} <= set(made)
    assert not list((tmp_path / "site").rglob("*.py"))
    assert [found for text in made.values() for found in _FETCHED.findall(text)] == []
