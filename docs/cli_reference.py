"""Make docs/cli.md from the commands themselves: `python -m docs.cli_reference`, or `--check` for drift."""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from docs.made import keep
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


if __name__ == "__main__":
    sys.exit(keep(Path(__file__).with_name("cli.md"), text(), "docs.cli_reference"))
