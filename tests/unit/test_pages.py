"""The pages hang together: every link leads somewhere, every page is found, every block says what it is."""

import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.pages import PAGES, ROOT, Block, anchors, blocks, links, prose

BLOCKS = [block for page in PAGES for block in blocks(page)]
#: what runs, what is read by a parser, and what is shown: output, pictures
LANGUAGES = {"python", "sh", "sql", "toml", "yaml", "json", "text"}
#: with what the lines begin that a reader would type
COMMANDS = ("txbox ", "$ ", "make ", "pip ", "docker ", "psql ", "SELECT ", "import ", "from ")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@each_page
def test_every_link_leads_to_a_page_and_a_heading(page: Path):
    dead = []
    for target in links(page):
        path, _, anchor = target.partition("#")
        other = page if not path else page.parent / path
        if "://" not in target and not (other.exists() and (not anchor or anchor in anchors(other))):
            dead.append(target)
    assert dead == []


@each_page
def test_a_page_of_the_site_links_to_nothing_that_is_not_on_it(page: Path):
    outside = [target for target in links(page) if target.startswith("../")]
    assert page.name == "README.md" or outside == []


def test_every_page_is_in_the_navigation_once():
    nav = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"]
    assert sorted(_pages(nav)) == sorted(str(page.relative_to(ROOT / "docs")) for page in PAGES[1:])


def _pages(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    else:
        for below in nav.values() if isinstance(nav, dict) else nav:
            yield from _pages(below)


def test_pages_that_are_made_from_code_are_as_the_code_says():
    """In a process of its own: commands that ran show their help otherwise than those that did not."""
    check = [sys.executable, "-m", "docs.cli_reference", "--check"]
    done = subprocess.run(check, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_says_what_it_is(block: Block):
    assert block.language in LANGUAGES, "say a language, so that the block runs; output and pictures are `text`"
    typed = [line for line in block.text.splitlines() if block.language == "text" and line.startswith(COMMANDS)]
    assert typed == [] or block.page == "docs/cli.md", "what people type is not `text`: nobody would run it"


@each_page
def test_no_code_hides_in_an_indent(page: Path):
    lines = prose(page).splitlines()
    hidden = [line for before, line in zip(["", *lines], lines, strict=False) if not before and line.startswith("    ")]
    assert hidden == [], "put it between ```, where it runs"


def test_few_blocks_are_not_run():
    """Each has a reason; a page that only shows is a page that rots."""
    shown = [block for block in BLOCKS if block.not_run]
    running = [block for block in BLOCKS if block.language != "text"]
    assert len(shown) < len(running) / 4, [str(block) for block in shown]
