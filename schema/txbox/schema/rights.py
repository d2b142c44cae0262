"""What roles.sql gives, read from that file itself, and what the roles have."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final, NamedTuple

from psycopg import Connection
from psycopg.rows import class_row, scalar_row

from txbox.schema.statements import Statements

__all__ = ["ROLES", "Right", "Rights", "given", "rights"]

ROLES: Final = ("txbox_writer", "txbox_relay", "txbox_consumer", "txbox_viewer")

_GRANT: Final = re.compile(
    r"""^GRANT\ (?P<what>[^;]+?)
    \s+ON\ (?:SEQUENCE\ |FUNCTION\ |(?P<schema>SCHEMA\ ))?(?P<things>[^;]+?)
    \s+TO\ (?P<roles>[^;]+);""",
    re.MULTILINE | re.VERBOSE,
)
_WHAT: Final = re.compile(r"([A-Z]+)(?:\s*\(([^)]*)\))?")


class Right(NamedTuple):
    """One right. Fields are the columns of `rights` in rights.sql."""

    role: str
    privilege: str
    #: a table, a sequence, a function with its (), or `schema`
    thing: str
    #: empty for the whole thing
    column: str

    def __str__(self) -> str:
        where = f"{self.thing}.{self.column}" if self.column else self.thing
        return f"{self.role} {self.privilege} on {where}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """How what the roles have differs from what they need."""

    #: roles that are not there at all
    absent: tuple[str, ...]
    missing: tuple[Right, ...]
    #: of PUBLIC too
    excessive: tuple[Right, ...]

    @property
    def unused(self) -> bool:
        """Whether nothing was given to the roles here: they belong to the server, and may serve other databases."""
        return len(self.missing) == len(given())


def rights(conn: Connection[Any], schema: str = "txbox") -> Rights:
    """Return what the roles lack, and what they or PUBLIC have too much. Read from the catalog: anybody may."""
    statements = Statements(__package__, "rights.sql", schema)
    parameters = {"schema": schema, "roles": list(ROLES)}
    with conn.cursor(row_factory=scalar_row) as names:
        there = set(names.execute(statements["roles"], parameters).fetchall())
    with conn.cursor(row_factory=class_row(Right)) as cursor:
        have = set(cursor.execute(statements["rights"], parameters).fetchall())
    return Rights(
        absent=tuple(role for role in ROLES if role not in there),
        missing=tuple(sorted(given() - have)),
        excessive=tuple(sorted(have - given())),
    )


@cache
def given() -> frozenset[Right]:
    """Return all that roles.sql grants."""
    text = resources.files(__package__).joinpath("roles.sql").read_text("utf-8")
    return frozenset(right for grant in _GRANT.finditer(text) for right in _rights_of(grant))


def _rights_of(grant: re.Match[str]) -> Iterator[Right]:
    for thing in re.sub(r"\([^)]*\)", "()", grant["things"]).split(","):
        name = "schema" if grant["schema"] else thing.strip().removeprefix("{schema}.")
        for privilege, columns in _WHAT.findall(grant["what"]):
            for role in grant["roles"].split(","):
                for column in columns.split(",") if columns else [""]:
                    yield Right(role.strip(), privilege, name, column.strip())
