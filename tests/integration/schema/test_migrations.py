"""Migrations on a real PostgreSQL: to one schema, once, whoever runs them, with nothing left when they fail."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import resources

import psycopg
import pytest
from psycopg import Connection, sql

from tests.integration.schema.catalog import catalog
from txbox.daemon import Database
from txbox.schema import EditedMigration, NewerDatabase, SchemaError, SchemaMissing, migrate, migrations, plan, require
from txbox.schema import status as status_of
from txbox.schema.migrations import Migration, known
from txbox.schema.statements import render

ODD_NAMES = ["My-Schema", 'quo"ted', "with space", "ünïcode", "select", "a.b", "it's", "{braces}"]


@pytest.fixture
def empty(conn: Connection) -> Connection:
    """A database without our tables."""
    conn.execute("DROP SCHEMA txbox CASCADE")
    return conn


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Migration:
    """One more step, which makes a table and fails then."""
    text = "CREATE TABLE {schema}.half (n int); SELECT 1/0;"
    step = Migration(version=len(known()) + 1, name="fails", text=text)
    steps = (*known(), step)
    monkeypatch.setattr(migrations, "known", lambda: steps)
    return step


def test_the_migrations_lead_to_the_schema_as_it_is_written_down(conn: Connection) -> None:
    migrated = catalog(conn)
    conn.execute("DROP SCHEMA txbox CASCADE")
    text = resources.files("txbox.schema").joinpath("schema.sql").read_text("utf-8")
    conn.execute(render(text, "txbox"))
    assert catalog(conn) == migrated
    assert {kind for kind, found in migrated.items() if found} >= {
        "columns",
        "constraints",
        "indexes",
        "functions",
        "views",
    }


def test_every_constraint_and_index_was_given_its_name(conn: Connection) -> None:
    made = catalog(conn)
    names = [row[0] for row in made["constraints"] if "not_null" not in row[0]] + [row[1] for row in made["indexes"]]
    text = resources.files("txbox.schema").joinpath("schema.sql").read_text("utf-8")
    assert [name for name in names if name not in text] == []


def test_a_second_run_has_nothing_to_do(empty: Connection) -> None:
    assert [step.version for step in migrate(empty)] == [step.version for step in known()]
    assert migrate(empty) == ()
    assert plan(empty) == ()
    require(empty)


def test_plan_changes_nothing(empty: Connection) -> None:
    assert plan(empty) == known()
    assert empty.execute("SELECT to_regnamespace('txbox')").fetchone() == (None,)


def test_status_tells_what_ran_and_when(conn: Connection) -> None:
    status = status_of(conn)
    assert (status.version, status.pending) == (len(known()), ())
    assert [(line.version, line.name, line.checksum) for line in status.applied] == [
        (step.version, step.name, step.checksum) for step in known()
    ]


@pytest.mark.parametrize("autocommit", [True, False])
def test_it_commits_on_either_kind_of_connection(empty: Connection, database: Database, autocommit: bool) -> None:
    with psycopg.connect(database.url, autocommit=autocommit) as conn:
        migrate(conn)
        assert status_of(empty).pending == ()
        conn.rollback()


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_schema_may_have_any_name(empty: Connection, name: str) -> None:
    migrate(empty, name)
    assert migrate(empty, name) == ()
    require(empty, name)
    assert catalog(empty, name)["sequences"]
    with pytest.raises(SchemaMissing):
        require(empty)


def test_eight_migrators_at_once_run_each_step_once(empty: Connection, database: Database) -> None:
    def run(_: int) -> int:
        with psycopg.connect(database.url, autocommit=True) as conn:
            return len(migrate(conn))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(run, range(8))) == len(known())
    assert empty.execute("SELECT count(*) FROM txbox.migration").fetchone() == (len(known()),)


def test_two_processes_at_once_run_each_step_once(empty: Connection, database: Database) -> None:
    script = (
        "import sys, psycopg, txbox.schema as s; print(len(s.migrate(psycopg.connect(sys.argv[1], autocommit=True))))"
    )
    command = [sys.executable, "-W", "ignore", "-c", script, database.url]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert sum(int(process.communicate(timeout=30)[0]) for process in both) == len(known())


def test_a_step_that_fails_leaves_nothing_and_keeps_the_steps_before(empty: Connection, failing: Migration) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero):
        migrate(empty)
    assert empty.execute("SELECT to_regclass('txbox.half')").fetchone() == (None,)
    assert status_of(empty).version == failing.version - 1
    with pytest.raises(SchemaMissing, match="txbox db migrate"):
        require(empty)


def test_a_database_of_a_newer_txbox_is_left_alone(conn: Connection) -> None:
    conn.execute("INSERT INTO txbox.migration VALUES (9998, 'later', 'x'), (9999, 'last', 'x')")
    for refused in (migrate, plan, require, status_of):
        with pytest.raises(NewerDatabase) as caught:
            refused(conn)
        assert (caught.value.found, caught.value.known) == (9999, len(known()))


def test_a_migration_edited_after_it_ran_is_told(conn: Connection) -> None:
    conn.execute("UPDATE txbox.migration SET checksum = 'other' WHERE version = 1")
    for refused in (migrate, plan, require, status_of):
        with pytest.raises(EditedMigration, match="0001"):
            refused(conn)


def test_missing_tables_are_told_with_what_to_do(empty: Connection) -> None:
    with pytest.raises(SchemaMissing, match="txbox db migrate") as caught:
        require(empty)
    assert (caught.value.found, caught.value.needed) == (0, len(known()))


def test_inside_a_transaction_of_yours_it_refuses(empty: Connection) -> None:
    with empty.transaction(), pytest.raises(SchemaError, match="no transaction"):
        migrate(empty)
    assert plan(empty) == known()


@pytest.fixture(params=["own", "fallback"])
def uuid7(request: pytest.FixtureRequest, conn: Connection) -> str:
    """The function that makes ids; and the one that servers without their own are given, run by itself."""
    if request.param == "own":
        return "txbox.uuid7"
    text = next(step.text for step in known() if "uuid7()" in step.text)
    body = text.partition("ELSE")[2].partition("END IF")[0]
    conn.execute(render(body, "public"))
    return "public.uuid7"


def test_ids_are_uuid7_in_the_order_of_time(conn: Connection, uuid7: str) -> None:
    made = sql.SQL("SELECT {}(), clock_timestamp() FROM generate_series(1, 500)").format(
        sql.Identifier(*uuid7.split("."))
    )
    rows = conn.execute(made).fetchall()
    assert {(id_.version, id_.variant) for id_, _ in rows} == {(7, "specified in RFC 4122")}
    assert len({id_ for id_, _ in rows}) == 500
    millis = [id_.int >> 80 for id_, _ in rows]
    assert millis == sorted(millis)
    assert all(abs(at.timestamp() * 1000 - ms) < 1000 for ms, (_, at) in zip(millis, rows, strict=True))


@pytest.mark.parametrize(
    ("raw", "shown"),
    [(b"text \xc3\xbc", "text ü"), (b"\xff\x00", "\\xff00"), (b"", ""), (b"a\0b", "\\x610062"), (None, None)],
)
def test_bytes_are_shown_as_text_where_they_are_text(conn: Connection, raw: bytes | None, shown: str | None) -> None:
    assert conn.execute("SELECT txbox.readable(%s)", (raw,)).fetchone() == (shown,)
