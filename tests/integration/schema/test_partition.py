"""The outbox in partitions: what it is afterwards, what is refused, and who waits for whom."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg import Connection
from psycopg.pq import TransactionStatus

from tests.integration.schema.catalog import catalog
from txbox.daemon import Database
from txbox.outbox import Message, Outbox
from txbox.schema import (
    SchemaBusy,
    SchemaError,
    Step,
    Unpartitionable,
    layout,
    locks,
    migrate,
    migrations,
    partition,
    partitioning,
    require,
)
from txbox.schema.migrations import Migration, known
from txbox.schema.partitions import AHEAD, FAR
from txbox.schema.statements import compose

ALL = (Step.WRAP, Step.CLOSE, Step.JUMP)
FILL = "INSERT INTO txbox.outbox (topic, type) SELECT 't', 'Happened' FROM generate_series(1, %s)"


@pytest.fixture
def other(database: Database) -> Iterator[Connection]:
    """A session with a transaction open."""
    with psycopg.connect(database.url) as conn:
        yield conn


def value(conn: Connection, query: str) -> Any:
    [found] = conn.execute(query.encode()).fetchone() or (None,)
    return found


def test_rows_numbers_and_what_is_said_of_the_table_are_as_before(conn: Connection):
    conn.execute(FILL, (100,))
    before = catalog(conn)
    assert partition(conn, rows=1000) == ALL
    after = catalog(conn)
    for kind in ("columns", "constraints", "indexes", "views", "functions", "sequences"):
        kept = [row for row in after[kind] if not re.search(r"outbox_(p\d|end)", str(row))]
        # PARTITION BY makes no difference to how a table's key is written down, but for the index's ON ONLY
        assert [str(row).replace("ON ONLY ", "ON ") for row in kept] == [str(row) for row in before[kind]], kind
    assert value(conn, "SELECT count(*) FROM txbox.outbox_readable") == 100
    assert require(conn) == value(conn, "SELECT max(version) FROM txbox.migration")
    assert partition(conn) == ()
    made = layout(conn)
    assert (len(made.parts or ()), made.ahead, made.rows) == (AHEAD + 2, AHEAD, 1000)


def test_a_process_that_is_frozen_while_it_has_the_outbox_keeps_writers_for_seconds_only(
    conn: Connection, database: Database, monkeypatch: pytest.MonkeyPatch
):
    conn.execute("SET lock_timeout = '20s'")

    def frozen(package: str, file: str, name: str, **parts: Any) -> Any:
        if name == "follow":
            conn.execute(FILL, (1,))  # waits for us, who do nothing
        return compose(package, file, name, **parts)

    monkeypatch.setattr(partitioning, "compose", frozen)
    with (
        psycopg.connect(database.url, autocommit=True) as freezing,
        pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout),
    ):
        partition(freezing)
    assert layout(conn).parts is None


def test_numbers_rise_and_a_first_one_works_too(conn: Connection):
    partition(conn)
    conn.execute(FILL, (3,))
    assert value(conn, "SELECT array_agg(seq ORDER BY seq) FROM txbox.outbox") == [2 * FAR, 2 * FAR + 1, 2 * FAR + 2]


def test_rights_and_owner_go_over_to_the_new_table_and_its_sequence(conn: Connection):
    roles = ("parts_owner", "parts_writer", "parts_relay")
    for role in roles:
        conn.execute(f"DROP ROLE IF EXISTS {role}".encode())
        conn.execute(f"CREATE ROLE {role}".encode())
    try:
        conn.execute("ALTER TABLE txbox.outbox OWNER TO parts_owner")
        conn.execute("GRANT INSERT (topic, type) ON txbox.outbox TO parts_writer")
        conn.execute("GRANT SELECT, DELETE ON txbox.outbox TO parts_relay WITH GRANT OPTION")
        conn.execute("GRANT SELECT ON SEQUENCE txbox.outbox_seq_seq TO parts_relay")
        conn.execute("GRANT SELECT ON txbox.outbox_readable TO PUBLIC")
        rights = "SELECT relacl::text FROM pg_class WHERE oid = 'txbox.{}'::regclass"
        names = ("outbox", "outbox_seq_seq", "outbox_readable")
        column = "SELECT attacl::text FROM pg_attribute WHERE attrelid = 'txbox.outbox'::regclass AND attname = 'topic'"
        before = [value(conn, rights.format(name)) for name in names] + [value(conn, column)]
        partition(conn)
        assert [value(conn, rights.format(name)) for name in names] + [value(conn, column)] == before
        owners = "SELECT array_agg(DISTINCT tableowner) FROM pg_tables WHERE tablename ~ '^outbox(_p.*|_end)?$'"
        assert value(conn, owners) == ["parts_owner"]
        conn.execute("GRANT USAGE ON SCHEMA txbox TO parts_writer")
        conn.execute("SET ROLE parts_writer")
        conn.execute("INSERT INTO txbox.outbox (topic, type) VALUES ('t', 'Happened')")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("SELECT FROM txbox.outbox")
    finally:
        conn.execute("RESET ROLE")
        conn.execute("DROP SCHEMA txbox CASCADE")
        for role in roles:
            conn.execute(f"DROP ROLE {role}".encode())


def test_a_member_of_the_owner_may_make_partitions(conn: Connection):
    for statement in (
        "DROP ROLE IF EXISTS parts_member, parts_owner",
        "CREATE ROLE parts_owner",
        "CREATE ROLE parts_member",
    ):
        conn.execute(statement)
    try:
        conn.execute("GRANT parts_owner TO parts_member")
        conn.execute("ALTER SCHEMA txbox OWNER TO parts_owner")
        for name in ("outbox", "outbox_readable", "relay_cursor", "migration"):
            conn.execute(f"ALTER TABLE txbox.{name} OWNER TO parts_owner".encode())
        conn.execute("SET ROLE parts_member")
        assert partition(conn, rows=10) == ALL
        conn.execute(FILL, (50,))
        assert partition(conn) == (Step.EXTEND,)
        conn.execute("RESET ROLE")
        owners = "SELECT array_agg(DISTINCT tableowner) FROM pg_tables WHERE tablename ~ '^outbox(_p.*|_end)?$'"
        assert value(conn, owners) == ["parts_owner"]
    finally:
        conn.execute("RESET ROLE")
        conn.execute("DROP SCHEMA txbox CASCADE")
        conn.execute("DROP ROLE parts_member, parts_owner")


@pytest.mark.parametrize(
    ("made", "told"),
    [
        ("CREATE VIEW mine AS SELECT type FROM txbox.outbox", "view or rule mine"),
        ("CREATE PUBLICATION mine FOR TABLE txbox.outbox", "publication mine"),
        ("CREATE PUBLICATION mine FOR ALL TABLES", "publication mine"),
        ("CREATE PUBLICATION mine FOR TABLES IN SCHEMA txbox", "publication mine"),
        ("CREATE INDEX mine ON txbox.outbox (id)", "index txbox.mine"),
        ("CREATE RULE mine AS ON DELETE TO txbox.outbox DO INSTEAD NOTHING", "view or rule txbox.outbox"),
        ("ALTER TABLE txbox.outbox ENABLE ROW LEVEL SECURITY", "row security"),
    ],
)
def test_what_partitions_would_not_take_over_is_named_and_nothing_is_done(conn: Connection, made: str, told: str):
    conn.execute(made.encode())
    before = catalog(conn)
    with pytest.raises(Unpartitionable, match=told):
        partition(conn)
    assert catalog(conn) == before


def test_what_a_dead_process_left_is_finished_by_the_next_and_keeps_no_writer_from_writing(
    conn: Connection, monkeypatch: pytest.MonkeyPatch
):
    for statement in ("make_way", "set_below", "validate", "drop_below", "attach"):
        conn.execute(FILL, (10,))
        with monkeypatch.context() as patched:
            patched.setattr(partitioning, "compose", _dies_at(statement))
            with pytest.raises(KeyboardInterrupt):
                partition(conn)
    conn.execute(FILL, (10,))
    with pytest.raises(KeyboardInterrupt):
        partition(conn, told=_dies_before(Step.JUMP))
    conn.execute(FILL, (10,))
    assert partition(conn) == (Step.JUMP,)
    conn.execute(FILL, (10,))
    seqs = [seq for (seq,) in conn.execute("SELECT seq FROM txbox.outbox ORDER BY seq")]
    assert seqs == [*range(1, 71), *range(2 * FAR, 2 * FAR + 10)]


def _dies_at(statement: str) -> Any:
    def dying(package: str, file: str, name: str, **parts: Any) -> Any:
        if name == statement:
            raise KeyboardInterrupt
        return compose(package, file, name, **parts)

    return dying


def _dies_before(step: Step) -> Any:
    def told(now: Step) -> None:
        if now is step:
            raise KeyboardInterrupt

    return told


def test_writers_that_come_to_the_last_partition_go_on_and_it_is_closed_behind_them(conn: Connection):
    partition(conn, rows=10)
    for _ in range(3):
        conn.execute(FILL, (AHEAD * 10 + 5,))
        assert partition(conn) == (Step.CLOSE, Step.JUMP)
    assert value(conn, "SELECT count(*) FROM txbox.outbox") == 3 * (AHEAD * 10 + 5)
    end = layout(conn).end
    assert end is not None
    assert conn.execute("SELECT count(*) FROM txbox.outbox WHERE seq >= %s", (end.lower,)).fetchone() == (0,)


def test_the_last_partition_is_closed_without_its_rows_being_read_while_writers_wait(conn: Connection):
    partition(conn, rows=10)
    conn.execute(FILL, (AHEAD * 10 + 5,))
    end, told = layout(conn).end, list[str | None]()
    assert end is not None
    conn.execute("SET client_min_messages = debug1")
    conn.add_notice_handler(lambda diagnostic: told.append(diagnostic.message_primary))
    partition(conn)
    attached = [text for text in told if f'table "outbox_p{end.lower}"' in str(text)]
    assert attached == [f'partition constraint for table "outbox_p{end.lower}" is implied by existing constraints']


def test_partitions_are_made_ahead_with_no_number_left_out(conn: Connection):
    partition(conn, rows=10)
    for _ in range(20):
        conn.execute(FILL, (7,))
        partition(conn)
    made = [part for part in layout(conn).parts or () if part.lower is not None]
    assert [a.upper for a in made[:-1]] == [b.lower for b in made[1:]]
    assert value(conn, "SELECT max(seq) - min(seq) + 1 FROM txbox.outbox") == 140


@pytest.mark.parametrize("change", ["migrate", "partition"])
def test_a_change_that_waits_for_a_writer_holds_others_up_for_an_instant_only_and_names_it(
    conn: Connection, database: Database, other: Connection, monkeypatch: pytest.MonkeyPatch, change: str
):
    if change == "migrate":
        _one_more_step(monkeypatch)
    Outbox().add(other, Message("Open", topic="t"))
    with psycopg.connect(database.url, autocommit=True) as changing:
        changing.execute("SET statement_timeout = '20s'")  # who waits for longer than a second breaks the promise
        run = migrate if change == "migrate" else partition
        with pytest.raises(SchemaBusy, match=rf"pid {other.info.backend_pid}, unnamed, idle in transaction"):
            run(changing, patience=0.0)
        conn.execute("SET lock_timeout = '100ms'")
        conn.execute(FILL, (1,))
        other.commit()
        assert run(changing, patience=20.0)


def test_who_is_in_the_way_of_a_role_that_may_not_see_more_is_no_prepared_transaction(
    conn: Connection, other: Connection
):
    Outbox().add(other, Message("Open", topic="t"))
    conn.execute("SET ROLE pg_signal_backend")  # one that may see nothing
    found = [user for user in locks.in_use(conn, "txbox") if user.pid == other.info.backend_pid]
    assert [user.state for user in found] == ["the rest is shown to members of pg_read_all_stats only"]


def _one_more_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that needs the outbox for itself."""
    text = "ALTER TABLE {schema}.outbox ADD COLUMN more int; ALTER TABLE {schema}.outbox DROP COLUMN more;"
    steps = (*known(), Migration(version=len(known()) + 1, name="more", text=text))
    monkeypatch.setattr(migrations, "known", lambda: steps)


def test_two_that_make_partitions_at_once_make_them_once(conn: Connection, database: Database):
    conn.execute(FILL, (1000,))

    def run(_: int) -> tuple[Step, ...]:
        with psycopg.connect(database.url, autocommit=True) as one:
            return partition(one, rows=10)

    for _ in range(3):
        with ThreadPoolExecutor(4) as pool:
            done = [step for steps in pool.map(run, range(4)) for step in steps]
        assert done.count(Step.WRAP) <= 1
        assert done.count(Step.CLOSE) + done.count(Step.EXTEND) == 1
        assert layout(conn).ahead == AHEAD
        conn.execute(FILL, (AHEAD * 10 - 20,))


def test_partitions_that_somebody_else_made_first_are_no_obstacle(conn: Connection, database: Database):
    def first(step: Step) -> None:
        if step is Step.WRAP:
            with psycopg.connect(database.url, autocommit=True) as one:
                partition(one, rows=10)

    assert partition(conn, rows=10, told=first) == ()


def test_while_somebody_else_makes_partitions_the_sequence_does_not_jump(conn: Connection, other: Connection):
    lock = "LOCK TABLE ONLY txbox.outbox IN SHARE UPDATE EXCLUSIVE MODE"
    with pytest.raises(SchemaBusy):
        partition(conn, patience=0.0, told=lambda step: other.execute(lock) if step is Step.JUMP else None)
    assert layout(conn).drawn == 0
    other.rollback()
    assert partition(conn) == (Step.JUMP,)


def test_a_default_partition_of_somebody_elses_is_left_alone(conn: Connection):
    partition(conn, rows=10)
    conn.execute("CREATE TABLE txbox.mine PARTITION OF txbox.outbox DEFAULT")
    conn.execute(FILL, (50,))
    assert partition(conn) == (Step.EXTEND,)
    conn.execute(FILL, (AHEAD * 10 + 20,))
    assert partition(conn) == (Step.CLOSE, Step.JUMP)
    assert value(conn, "SELECT count(*) FROM txbox.mine") == 0


def test_who_reads_the_last_partition_through_is_no_holder_to_relays(
    conn: Connection, other: Connection, monkeypatch: pytest.MonkeyPatch
):
    locks_held = """
        SELECT count(*) FROM pg_locks
        WHERE relation = pg_get_serial_sequence('txbox.outbox', 'seq')::regclass AND mode = 'RowExclusiveLock'
    """
    held: list[int] = []

    def counting(package: str, file: str, name: str, **parts: Any) -> Any:
        if name == "validate":
            held.append(value(other, locks_held))
        return compose(package, file, name, **parts)

    monkeypatch.setattr(partitioning, "compose", counting)
    partition(conn)
    assert held == [0]


@pytest.mark.parametrize("schema", ["we{ird}", 'a"b', "Up.per", "it's"])
def test_a_schema_may_have_any_name(conn: Connection, schema: str):
    migrate(conn, schema)
    assert partition(conn, schema) == ALL


def test_inside_a_transaction_of_yours_it_refuses(conn: Connection):
    with conn.transaction(), pytest.raises(SchemaError, match="no transaction"):
        partition(conn)
    assert layout(conn).parts is None


def test_without_autocommit_it_refuses_as_all_steps_would_be_one_transaction(other: Connection):
    with pytest.raises(SchemaError, match="autocommit"):
        partition(other)


def test_an_attempt_after_one_that_was_refused_its_lock_is_not_a_part_of_a_transaction(other: Connection):
    found = []

    def attempt(_: float) -> bool:
        found.append(other.info.transaction_status)
        if len(found) == 1:
            raise psycopg.errors.LockNotAvailable
        return True

    assert locks.patiently(other, "txbox", attempt, sleep=lambda _: None)
    assert found == [TransactionStatus.IDLE] * 2


def test_a_partition_is_judged_by_what_was_committed_while_its_lock_was_waited_for(conn: Connection):
    partition(conn, rows=10)
    conn.execute("SET default_transaction_isolation = 'repeatable read'")
    first = (layout(conn).parts or ())[0]
    assert partitioning.drop(
        conn, "txbox", first, lambda: bool(value(conn, "SHOW transaction_isolation") == "read committed")
    )
