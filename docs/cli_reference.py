"""Make the pages that are made from code: `python -m docs.cli_reference`, or `--check` that nothing drifted."""

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import click

from docs import configuration_reference
from txbox.cli.main import txbox


def pages(command: click.Command, path: str, parent: click.Context | None = None) -> Iterator[str]:
    """Yield the help of a command and of all below it."""
    ctx = click.Context(command, info_name=path, parent=parent, max_content_width=110, terminal_width=110)
    title = " ".join(filter(None, (parent.command_path if parent else "", path)))
    yield f"## {title}\n\n```text\n{command.get_help(ctx)}\n```\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            below = command.get_command(ctx, name)
            assert below is not None
            yield from pages(below, name, ctx)


def text() -> str:
    """Return the page as it should be."""
    return "# Commands\n\nMade by `python -m docs.cli_reference`.\n\n" + "\n".join(pages(txbox, "txbox"))


def main() -> int:
    """Write the pages; with --check, return 1 if one is not as it should be."""
    drifted = [page for page, made in MADE.items() if not page.exists() or page.read_text("utf-8") != made()]
    if "--check" not in sys.argv:
        for page in drifted:
            page.write_text(MADE[page](), "utf-8")
        return 0
    for page in drifted:
        print(f"docs/{page.name} has drifted from the code: run python -m docs.cli_reference", file=sys.stderr)
    return 1 if drifted else 0


#: which text belongs into which page
MADE: Final[Mapping[Path, Callable[[], str]]] = {
    Path(__file__).with_name("cli.md"): text,
    Path(__file__).with_name("configuration.md"): configuration_reference.text,
}

if __name__ == "__main__":
    sys.exit(main())
