"""The pages that people read, as data: their blocks of code, their links, their headings."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["PAGES", "ROOT", "Block", "anchors", "blocks", "links", "named", "prose"]

ROOT: Final = Path(__file__).parent.parent
#: README.md and all of docs/
PAGES: Final = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))

_FENCE: Final = re.compile(r"^(?P<indent> *)```(?P<language>[\w-]*)[^\n]*\n(?P<text>.*?)^(?P=indent)```$", re.M | re.S)
_NOT_RUN: Final = re.compile(r"<!-- not run: (?P<why>[^\n]+) -->\n\s*\Z")
_LINK: Final = re.compile(r"(?<!!)\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_HEADING: Final = re.compile(r"^#{1,6} (?P<title>.+)$", re.M)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What stands between two lines of ```."""

    page: str
    line: int
    #: what stands behind the first ```
    language: str
    text: str
    #: why it is shown and not run; None if it runs
    not_run: str | None = None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """Return a page's blocks, from top to bottom."""
    return list(_blocks(page, page.read_text("utf-8")))


def named(page: Path, name: str) -> str:
    """Return the one block of a page whose first line says which file it is."""
    (text,) = (block.text for block in blocks(page) if block.text.startswith(f"# {name}\n"))
    return text


def _blocks(page: Path, text: str) -> Iterator[Block]:
    for found in _FENCE.finditer(text):
        marker = _NOT_RUN.search(text[: found.start()])
        yield Block(
            page=str(page.relative_to(ROOT)),
            line=text.count("\n", 0, found.start()) + 1,
            language=found["language"],
            text=re.sub(f"^{found['indent']}", "", found["text"], flags=re.M),
            not_run=marker["why"] if marker else None,
        )


def prose(page: Path) -> str:
    """Return a page without its blocks and without `code`."""
    return re.sub(r"`[^`\n]+`", "", _FENCE.sub("", page.read_text("utf-8")))


def links(page: Path) -> list[str]:
    """Return the targets of a page's links. A text may be code."""
    return _LINK.findall(_FENCE.sub("", page.read_text("utf-8")))


def anchors(page: Path) -> set[str]:
    """Return the names of a page's headings, as the site and other readers of markdown make them."""
    titles = _HEADING.findall(_FENCE.sub("", page.read_text("utf-8")))
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower()) for title in titles}
