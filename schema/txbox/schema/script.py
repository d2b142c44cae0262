"""SQL for others to run: a database administrator in psql, Alembic, Django."""

from importlib import resources
from typing import Final

from psycopg import sql as psql

from txbox.schema.migrations import Migration, known
from txbox.schema.statements import compose, render

__all__ = ["roles", "sql"]

_HEAD: Final = """\
-- txbox's tables, version {version}. Steps that ran here before are passed over, so this can be run on any version, and
-- again; all in one transaction, each with its line in the ledger. Who waits for a lock holds up the writers behind: in
-- psql, SET lock_timeout = '750ms' before, and run it again if somebody was in the way.
"""


def sql(schema: str = "txbox", *, to: int | None = None) -> str:
    """Return one statement that brings `schema` to version `to`, by default to the last that this txbox knows.

    It does what `migrate` does, but all steps in one transaction, the caller's. Safe to run again. Alembic's
    `op.execute` and Django's `RunSQL` take it as it is, with any driver. Raises ValueError for an unknown version,
    and for a schema whose name would end the quotes around it.
    """
    if "$txbox" in schema:
        raise ValueError(f"schema {schema!r}: $txbox in its name cannot be used, the SQL is quoted with it")
    latest = known()[-1].version
    to = latest if to is None else to
    if not 1 <= to <= latest:
        raise ValueError(f"this txbox knows versions 1 to {latest}, not {to}")
    whole = compose(
        __package__,
        "script.sql",
        "whole",
        literal=psql.Literal(schema),
        ledger=_rendered(_read("ledger.sql"), schema),
        steps=psql.SQL(";\n\n").join(_step(step, schema) for step in known()[:to]),
    )
    return f"{_HEAD.format(version=to)}\n{whole.as_string(None)};\n"


def roles(schema: str = "txbox") -> str:
    """Return the SQL that makes the four roles and gives them what they need in `schema`, and nothing else.

    Run it in a transaction, as the owner of the tables, and as one who may create roles (CREATEROLE) where they are not
    there yet. Safe to run again, by several at once, and beside services that run. `schema` must be up to date.
    """
    return render(_read("roles.sql"), schema).decode()


def _step(step: Migration, schema: str) -> psql.Composed:
    return compose(
        __package__,
        "script.sql",
        "step",
        schema=psql.Identifier(schema),
        version=psql.Literal(step.version),
        step=psql.Literal(step.name),
        checksum=psql.Literal(step.checksum),
        text=_rendered(step.text.replace("%", "<percent>"), schema),
    )


def _rendered(text: str, schema: str) -> psql.SQL:
    return psql.SQL(render(text, schema).decode())


def _read(file: str) -> str:
    return resources.files(__package__).joinpath(file).read_text("utf-8")
