"""Connections to Postgres that notice when the other end is gone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

__all__ = ["Database", "connect"]

C = TypeVar("C", bound=psycopg.Connection[Any])

# A peer that vanished without a word (power, firewall) is noticed after 5 + 3 x 2 s; data that is not acknowledged,
# after 10 s. Both bound how long a leader can believe in a session that is lost.
_PATIENCE: Final = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """Which database, and which schema in it."""

    #: libpq's URL or key=value form; empty takes PGHOST, PGDATABASE and their like
    url: str
    schema: str = "txbox"
    #: seconds
    statement_timeout: float = 30.0


def connect(kind: type[C], database: Database, name: str, settings: Mapping[str, str] | None = None) -> C:
    """Return an autocommit connection of class `kind` with `settings` in force; `name` is its application_name.

    Autocommit, so that a transaction is open only where the code says so. What the URL itself says of time-outs and
    keepalives wins over ours. Raises psycopg.OperationalError.
    """
    own = {**_PATIENCE, "application_name": f"txbox {name}", **conninfo_to_dict(database.url)}
    conn = kind.connect(make_conninfo("", **own), autocommit=True)
    timeout = str(int(database.statement_timeout * 1000))
    for key, value in {"statement_timeout": timeout, **(settings or {})}.items():
        conn.execute(sql.SQL("SET {} = {}").format(sql.Identifier(key), sql.Literal(value)))
    return conn
