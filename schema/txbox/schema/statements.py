"""SQL lives in .sql files, each statement under a line `-- name: what_it_is`; this loads them.

Names of schemas enter a statement only through `psycopg.sql.Identifier`, in the place of `{schema}`.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Final

from psycopg import sql

__all__ = ["Statements", "compose", "render"]

_MARK = "-- name: "
_QUOTES: Final = re.compile(r"\$\w*\$")


def render(text: str, schema: str) -> bytes:
    """Return the SQL `text` with `{schema}` replaced by the quoted name `schema`; literal braces stand doubled.

    `{literal}` is the same name as a string. Raises ValueError for a name with a percent sign: psycopg would take it
    for the beginning of a parameter; or with dollar quotes of the text, which it would end.
    """
    if quote := next((quote for quote in _QUOTES.findall(text) if quote in schema), None):
        raise ValueError(f"schema {schema!r}: {quote} in its name cannot be used")
    if "%" in schema:
        raise ValueError(f"schema {schema!r}: a percent sign in its name cannot be used")
    return sql.SQL(text).format(schema=sql.Identifier(schema), literal=sql.Literal(schema)).as_bytes(None)


def compose(package: str, file: str, name: str, **parts: sql.Composable) -> sql.Composed:
    """Return one statement of a package's .sql file with its places in braces filled: for names known only then."""
    return sql.SQL(_read(package, file)[name]).format(**parts)


class Statements(Mapping[str, bytes]):
    """The named statements of one .sql file of a package, rendered for one schema.

    They are rendered once, here, because composing one anew for each execution costs more than a small query does.
    Raises KeyError for a name that the file does not have, ValueError for a file with a statement before any name.
    """

    def __init__(self, package: str, file: str, schema: str) -> None:
        self._rendered = {name: render(text, schema) for name, text in _read(package, file).items()}

    def __getitem__(self, name: str) -> bytes:
        return self._rendered[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rendered)

    def __len__(self) -> int:
        return len(self._rendered)


@cache
def _read(package: str, file: str) -> dict[str, str]:
    """Split a package's .sql file into its statements by name."""
    head, *blocks = resources.files(package).joinpath(file).read_text("utf-8").split(_MARK)
    if any(line and not line.startswith("--") for line in head.splitlines()):
        raise ValueError(f"{package}/{file}: a statement stands before the first '{_MARK}'")
    named = (block.partition("\n") for block in blocks)
    return {name.strip(): text.strip().removesuffix(";") for name, _, text in named}
