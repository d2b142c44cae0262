"""Users of a test's own, members of txbox's roles."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from uuid import uuid4

from psycopg import Connection, sql

from txbox.schema import roles

__all__ = ["ROLES", "as_user", "grant", "users"]

ROLES = ("txbox_writer", "txbox_relay", "txbox_consumer", "txbox_viewer")


@contextmanager
def users(conn: Connection, *names: str) -> Iterator[Mapping[str, str]]:
    """Run roles.sql, make a user for each role, and yield URLs by role. Users belong to the server: they go again."""
    grant(conn)
    made = {name: f"{name}_{uuid4().hex[:8]}" for name in names or ROLES}
    for name, user in made.items():
        conn.execute(sql.SQL("CREATE ROLE {} LOGIN IN ROLE {}").format(sql.Identifier(user), sql.Identifier(name)))
    try:
        yield {name: as_user(conn, user) for name, user in made.items()}
    finally:
        for user in made.values():
            # Handlers' tables may have been granted to it here; its sessions may be ending just now.
            conn.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(user)))
            conn.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(user)))


def grant(conn: Connection, schema: str = "txbox") -> None:
    """Run roles.sql."""
    with conn.transaction():
        conn.execute(roles(schema).encode())


def as_user(conn: Connection, user: str) -> str:
    """The URL of the same database for somebody else."""
    info = conn.info
    return f"postgresql://{user}@{info.host}:{info.port}/{info.dbname}"
