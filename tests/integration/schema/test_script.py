"""The SQL that others run: psql, Alembic, Django. Whoever ran it, `db status` knows, and the tables are the same."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import alembic.command
import pytest
from alembic.config import Config
from click.testing import CliRunner
from psycopg import Connection, errors

from tests.integration.schema.catalog import catalog
from txbox.cli.main import txbox
from txbox.daemon import Database
from txbox.sandbox import Sandbox
from txbox.schema import migrate, sql
from txbox.schema import status as status_of
from txbox.schema.migrations import known

LATEST = known()[-1].version
VERSIONS = [step.version for step in known()]
#: names that need quoting in one language or another
ODD_NAMES = ["My-Schema", 'quo"ted', "it's", "{braces}", ":colon", "back\\slash"]


@pytest.fixture
def migrated(conn: Connection) -> dict[str, list[tuple[Any, ...]]]:
    """What `db migrate` makes; the tables are gone again."""
    made = catalog(conn)
    conn.execute("DROP SCHEMA txbox CASCADE")
    return made


@pytest.fixture
def same(conn: Connection, migrated: dict[str, list[tuple[Any, ...]]]) -> Callable[[], None]:
    """Fail unless the tables are those of `db migrate`, and the ledger says so."""

    def check() -> None:
        assert [step.version for step in status_of(conn).applied] == VERSIONS
        assert status_of(conn).pending == ()
        assert catalog(conn) == migrated
        assert migrate(conn) == ()

    return check


@pytest.mark.parametrize("before", range(LATEST))
def test_from_any_version_to_the_last(conn: Connection, same: Callable[[], None], before: int) -> None:
    if before:
        conn.execute(sql(to=before).encode())
        assert status_of(conn).version == before
    conn.execute(sql().encode())
    same()
    conn.execute(sql().encode())
    same()


@pytest.mark.parametrize("name", ODD_NAMES)
def test_the_schema_may_have_any_name(conn: Connection, name: str) -> None:
    conn.execute(sql(name).encode())
    assert status_of(conn, name).pending == ()


def test_an_edited_migration_is_refused_and_nothing_done(conn: Connection) -> None:
    conn.execute("DROP SCHEMA txbox CASCADE")
    conn.execute(sql(to=2).encode())
    conn.execute("UPDATE txbox.migration SET checksum = 'x' WHERE version = 1")
    with pytest.raises(errors.RaiseException, match="migration 1 was edited"):
        conn.execute(sql().encode())
    assert [line[0] for line in conn.execute("SELECT version FROM txbox.migration ORDER BY 1").fetchall()] == [1, 2]


def test_a_version_that_is_not_there_is_refused() -> None:
    for version in (0, -1, LATEST + 1):
        with pytest.raises(ValueError, match=f"versions 1 to {LATEST}"):
            sql(to=version)


def test_the_commands_tell_what_would_run_and_change_nothing(conn: Connection, database: Database) -> None:
    def run(*args: str) -> str:
        result = CliRunner().invoke(txbox, ["-o", "json", *args], env={"TXBOX_DATABASE__URL": database.url})
        assert result.exit_code == 0, result.output
        return result.stdout

    assert json.loads(run("db", "plan")) == []
    conn.execute("DROP SCHEMA txbox CASCADE")
    planned = json.loads(run("db", "plan"))
    assert [step["version"] for step in planned] == VERSIONS
    assert 'CREATE TABLE "txbox".outbox' in planned[0]["sql"]
    assert run("db", "sql") == sql()
    assert run("db", "sql", "--to", "1", "--schema", "mine") == sql("mine", to=1)
    assert run("db", "roles").startswith("BEGIN;")
    assert conn.execute("SELECT to_regnamespace('txbox')").fetchone() == (None,)
    for step in planned:
        conn.execute(f"CREATE SCHEMA IF NOT EXISTS txbox; {step['sql']}".encode())


def test_an_administrator_runs_it_in_psql(
    conn: Connection, database: Database, same: Callable[[], None], sandbox: Sandbox
) -> None:
    def psql(script: str) -> None:
        program, quietly = sandbox.postgres.program("psql"), ("-X", "-q", "-v", "ON_ERROR_STOP=1")
        done = subprocess.run([program, *quietly, database.url], input=script, text=True, capture_output=True)
        assert (done.returncode, done.stderr) == (0, "")

    psql(sql(to=2))
    psql("SET client_min_messages = warning;" + sql())
    same()
    psql(CliRunner().invoke(txbox, ["db", "roles"]).stdout)
    assert conn.execute("SELECT has_schema_privilege('txbox_viewer', 'txbox', 'USAGE')").fetchone() == (True,)


#: an environment as `alembic init` makes it, for each kind of driver
ENV = """
import asyncio
from alembic import context
from sqlalchemy import create_engine, pool
from sqlalchemy.ext.asyncio import create_async_engine

URL = context.config.get_main_option("sqlalchemy.url")


def run(connection):
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()


async def run_async():
    engine = create_async_engine(URL, poolclass=pool.NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(run)
    await engine.dispose()


if context.is_offline_mode():
    context.configure(url=URL, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
elif "asyncpg" in URL:
    asyncio.run(run_async())
else:
    with create_engine(URL, poolclass=pool.NullPool).connect() as connection:
        run(connection)
"""

REVISION = """
from alembic import op
from txbox.schema import sql

revision, down_revision = {revision!r}, {before!r}


def upgrade():
    op.execute(sql({to}))
"""


@pytest.fixture
def alembic_config(tmp_path: Path) -> Callable[[str], Config]:
    """A project with two revisions: one of when txbox was at its first version, one of now."""
    (tmp_path / "versions").mkdir()
    (tmp_path / "env.py").write_text(ENV)
    (tmp_path / "versions/a.py").write_text(REVISION.format(revision="a", before=None, to="to=1"))
    (tmp_path / "versions/b.py").write_text(REVISION.format(revision="b", before="a", to=""))

    def config(url: str, output: io.StringIO | None = None) -> Config:
        made = Config(output_buffer=output or io.StringIO())
        made.set_main_option("script_location", str(tmp_path))
        made.set_main_option("path_separator", "os")
        made.set_main_option("sqlalchemy.url", url)
        return made

    return config


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "asyncpg"])
def test_alembic_runs_it(
    conn: Connection,
    database: Database,
    same: Callable[[], None],
    alembic_config: Callable[[str], Config],
    driver: str,
) -> None:
    config = alembic_config(database.url.replace("postgresql://", f"postgresql+{driver}://"))
    alembic.command.upgrade(config, "a")
    assert status_of(conn).version == 1
    alembic.command.upgrade(config, "head")
    same()


def test_alembic_prints_it_for_an_administrator(
    conn: Connection, database: Database, same: Callable[[], None], alembic_config: Callable[..., Config]
) -> None:
    output = io.StringIO()
    url = database.url.replace("postgresql://", "postgresql+psycopg://")
    alembic.command.upgrade(alembic_config(url, output), "head", sql=True)
    conn.execute(output.getvalue().encode())
    same()


SETTINGS = """
INSTALLED_APPS = ["shop"]
DATABASES = {{"default": {{
    "ENGINE": "django.db.backends.postgresql", "HOST": {host!r}, "PORT": {port}, "USER": {user!r}, "NAME": {name!r}
}}}}
USE_TZ = True
"""

MIGRATION = """
from django.db import migrations
from txbox.schema import sql


class Migration(migrations.Migration):
    dependencies = {dependencies!r}
    operations = [migrations.RunSQL(sql({to}), migrations.RunSQL.noop)]
"""


def test_django_runs_it(conn: Connection, same: Callable[[], None], tmp_path: Path) -> None:
    info = conn.info
    of = {"host": info.host, "port": info.port, "user": info.user, "name": info.dbname}
    (tmp_path / "shop/migrations").mkdir(parents=True)
    for empty in ("shop/__init__.py", "shop/migrations/__init__.py"):
        (tmp_path / empty).touch()
    (tmp_path / "project.py").write_text(SETTINGS.format(**of))
    (tmp_path / "shop/migrations/0001_txbox.py").write_text(MIGRATION.format(dependencies=[], to="to=1"))
    later = MIGRATION.format(dependencies=[("shop", "0001_txbox")], to="")
    (tmp_path / "shop/migrations/0002_txbox.py").write_text(later)

    def manage(*command: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "django", *command, "--settings=project"],
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr

    manage("migrate", "shop", "0001")
    assert status_of(conn).version == 1
    manage("migrate")
    same()
    manage("migrate", "shop", "0001")  # and back: nothing is dropped
    same()
