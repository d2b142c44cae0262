"""Other people's outbox tables: their rows are messages here, whatever becomes of them there."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from click.testing import CliRunner
from psycopg import Connection, errors

from tests.integration.running import running
from tests.integration.schema.debezium import INSERT, TABLE, in_order, make_orders, writers
from tests.integration.topics import Topics
from tests.waiting import eventually
from txbox.cli.main import txbox
from txbox.daemon import Database, Kafka
from txbox.relay import Relay, RelayConfig
from txbox.schema import Adoption, SchemaBusy, Unadoptable, adopt, adoption_sql, partition

#: somebody's own: a number, a flag for its poller
OWN = """
CREATE TABLE events (
    id bigserial PRIMARY KEY,
    name text NOT NULL,
    order_id bigint,
    body text,
    created_at timestamp NOT NULL DEFAULT now(),
    sent_at timestamp
)
"""
OWN_COLUMNS = {"id": "", "type": "name", "aggregateid": "order_id", "payload": "body"}
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def table(conn: Connection) -> str:
    conn.execute(TABLE.format(payload="jsonb").encode())
    return "outboxevent"


def rows(conn: Connection, columns: str = "*") -> list[tuple[Any, ...]]:
    query = f"SELECT {columns} FROM txbox.outbox ORDER BY seq"  # noqa: S608  # the tests' own text
    return conn.execute(query.encode()).fetchall()


@pytest.mark.parametrize(
    ("type_", "payload", "sent"),
    [
        ("jsonb", '{"b":1,  "a":"é\\u0041\\\\"}', '{"a": "éA\\\\", "b": 1}'.encode()),  # as jsonb keeps it
        ("json", '{"b":1,  "a":"\\u0041"}', b'{"b":1,  "a":"\\u0041"}'),
        ("text", "back\\slash \\x00 é", "back\\slash \\x00 é".encode()),
        ("bytea", b"\x00\xff\\x", b"\x00\xff\\x"),
        ("jsonb", None, None),
    ],
)
def test_what_debezium_would_send_is_what_is_published(
    conn: Connection, topics: Topics, database: Database, kafka: Kafka, type_: str, payload: object, sent: bytes | None
):
    conn.execute(TABLE.format(payload=type_).encode())
    adopt(conn, "outboxevent", adoption=Adoption(headers={"eventType": "type"}))
    topic, id_ = topics.make(), uuid4()
    conn.execute(INSERT, (id_, topic, "o-1", "Placed", payload))
    Relay(database, kafka, RelayConfig(topic="{aggregate}")).run(once=True)
    (record,) = topics.read(topic)
    assert (record.key, record.value) == (b"o-1", sent)
    content = b"application/octet-stream" if type_ == "bytea" else b"application/json"
    headers = [("id", str(id_).encode()), ("type", b"Placed"), ("content-type", content), ("eventType", b"Placed")]
    assert record.headers == headers


def test_a_row_is_a_message_if_its_transaction_commits_and_wherever_it_goes(conn: Connection, table: str):
    conn.execute(INSERT, (uuid4(), "a", "before", "T", "{}"))
    adopt(conn, table)
    with conn.transaction(force_rollback=True):
        conn.execute(INSERT, (uuid4(), "a", "rolled back", "T", "{}"))
    with conn.transaction():  # as Debezium's extension for Quarkus does
        conn.execute(INSERT, (deleted := uuid4(), "a", "deleted", "T", "{}"))
        conn.execute("DELETE FROM outboxevent")
    conn.execute(f"{INSERT} ON CONFLICT DO NOTHING".encode(), (kept := uuid4(), "a", "kept", "T", "{}"))
    conn.execute(f"{INSERT} ON CONFLICT DO NOTHING".encode(), (kept, "a", "again", "T", "{}"))
    copied = [(uuid4(), "a", f"copied {n}", "T", "{}") for n in range(3)]
    with (
        conn.cursor() as cursor,
        cursor.copy(INSERT.partition("VALUES")[0].replace("INSERT INTO", "COPY") + "FROM STDIN") as copy,
    ):
        for row in copied:
            copy.write_row(row)
    assert [id_ for (id_,) in rows(conn, "id")] == [deleted, kept, *(row[0] for row in copied)]


def test_writers_need_no_right_on_the_outbox_and_others_cannot_use_the_trigger(conn: Connection, table: str):
    adopt(conn, table)
    name = f"writer_{uuid4().hex[:8]}"
    conn.execute(f"CREATE ROLE {name}; GRANT INSERT ON outboxevent TO {name}; GRANT CREATE ON SCHEMA public TO {name}")
    try:
        conn.execute(f"SET ROLE {name}")
        conn.execute(INSERT, (uuid4(), "a", "1", "T", "{}"))
        conn.execute("RESET ROLE")
        conn.execute(f"GRANT USAGE ON SCHEMA txbox TO {name}")  # as every reader of txbox's tables has
        conn.execute(f"SET ROLE {name}")
        conn.execute("CREATE TABLE mine (id uuid)")
        with pytest.raises(errors.InsufficientPrivilege):
            conn.execute(
                "CREATE TRIGGER t AFTER INSERT ON mine FOR EACH ROW EXECUTE FUNCTION txbox.adopt_public_outboxevent()"
            )
    finally:
        conn.execute("RESET ROLE")
        conn.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")
    assert len(rows(conn)) == 1


CAST = """
CREATE TYPE own AS (x int);
CREATE FUNCTION own_text(own) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'ran as %', current_user; END $$;
CREATE CAST (own AS text) WITH FUNCTION own_text(own)
"""


@pytest.fixture
def role(conn: Connection) -> Iterator[str]:
    name = f"owner_{uuid4().hex[:8]}"
    conn.execute(f"CREATE ROLE {name}".encode())
    yield name
    conn.execute(f"REASSIGN OWNED BY {name} TO CURRENT_USER; DROP OWNED BY {name}; DROP ROLE {name}".encode())


def test_the_trigger_runs_as_the_outboxs_owner_who_is_no_superuser(conn: Connection, table: str, role: str):
    conn.execute(f"ALTER TABLE {table} OWNER TO {role}".encode())
    with pytest.raises(Unadoptable, match="rights of the superuser"):
        adopt(conn, table)
    conn.execute(f"ALTER SCHEMA txbox OWNER TO {role}; ALTER TABLE txbox.outbox OWNER TO {role}".encode())
    adopt(conn, table)
    owner = conn.execute("SELECT proowner::regrole::text FROM pg_proc WHERE proname = 'adopt_public_outboxevent'")
    assert owner.fetchone() == (role,)
    conn.execute(INSERT, (uuid4(), "a", "1", "T", "{}"))
    assert len(rows(conn)) == 1


@pytest.mark.parametrize(
    "adoption", [Adoption(), Adoption(columns={"payload": ""}, headers={"x": "payload"})], ids=["payload", "header"]
)
def test_a_cast_of_the_tables_owner_is_never_run(conn: Connection, table: str, adoption: Adoption):
    conn.execute(CAST)
    adopt(conn, table, adoption=adoption)
    backlog = replace(adoption, backlog="true", order="id")
    printed = adoption_sql(conn, table, adoption=backlog)
    conn.execute("ALTER TABLE outboxevent ALTER payload TYPE own USING NULL")
    with pytest.raises(errors.DatatypeMismatch, match="another type"):
        conn.execute("INSERT INTO outboxevent VALUES (gen_random_uuid(), 'a', '1', 'T', ROW(1))")
    with pytest.raises(Unadoptable, match="payload is own"):
        adopt(conn, table, adoption=adoption)
    conn.execute("DROP TRIGGER txbox_adopt ON outboxevent")
    conn.execute("INSERT INTO outboxevent VALUES (gen_random_uuid(), 'a', '1', 'T', ROW(1))")
    with pytest.raises(errors.DatatypeMismatch, match="another type"), conn.transaction():
        conn.execute(printed.encode())


def test_a_text_that_becomes_another_text_is_as_good(conn: Connection, table: str):
    adopt(conn, table)
    conn.execute("ALTER TABLE outboxevent ALTER type TYPE text")
    conn.execute(INSERT, (uuid4(), "a", "1", "T", "{}"))
    assert len(rows(conn)) == 1


def test_time_trace_and_headers_go_along(conn: Connection, table: str):
    conn.execute("SET timezone = 'Asia/Tokyo'; ALTER TABLE outboxevent ADD COLUMN headers json")
    adopt(conn, table, adoption=Adoption(columns={"created_at": "timestamp"}))
    insert = f"{INSERT[:-1].replace(', payload', ', payload, timestamp, tracingspancontext, headers')}, %s, %s, %s)"
    properties = f"#Sun Nov 22 02:17:30 UTC 2026\nuber=1\ntraceparent={TRACE}\n"
    conn.execute(insert.encode(), (uuid4(), "a", "1", "T", "{}", "2026-01-02 03:04:05", properties, '{"own": "é"}'))
    conn.execute(insert.encode(), (uuid4(), "a", "1", "T", "{}", None, "traceparent=none", None))
    (first, second) = rows(conn, "headers, created_at AT TIME ZONE 'UTC', created_at > now() - interval '1 minute'")
    assert (first[0], str(first[1])) == ({"own": "é", "traceparent": TRACE}, "2026-01-02 03:04:05")
    assert (second[0], second[2]) == (None, True)


def test_a_table_of_ones_own_goes_over_with_what_it_had_not_sent(conn: Connection):
    conn.execute(OWN)
    conn.execute(
        "INSERT INTO events (name, order_id, body, sent_at) VALUES ('T', 1, 'sent', now()), ('T', 1, 'new', NULL)"
    )
    own = Adoption(columns=OWN_COLUMNS, topic="orders", headers={"n": "id"}, backlog="sent_at IS NULL", order="id")
    adopt(conn, "events", adoption=own)
    conn.execute("INSERT INTO events (name, order_id, body) VALUES ('T', 1, 'next'), ('T', NULL, 'last')")
    found = rows(conn, "convert_from(payload, 'UTF8'), aggregateid, topic, headers->>'n'")
    assert found == [("new", "1", "orders", "2"), ("next", "1", "orders", "3"), ("last", None, "orders", "4")]


def test_a_row_goes_where_it_says_and_else_where_all_go(conn: Connection, table: str):
    conn.execute("ALTER TABLE outboxevent ADD COLUMN topic text")
    adopt(conn, table)
    conn.execute(INSERT, (uuid4(), "a", "1", "T", "{}"))
    adopt(conn, table, adoption=Adoption(topic="orders"))
    conn.execute(INSERT, (uuid4(), "a", "1", "T", "{}"))
    conn.execute("UPDATE outboxevent SET topic = 'own'")
    conn.execute("INSERT INTO outboxevent SELECT gen_random_uuid(), 'a', '1', 'T', '{}', NULL, NULL, 'own'")
    assert rows(conn, "aggregatetype, topic") == [("a", None), ("a", "orders"), ("a", "own")]


@pytest.mark.parametrize(
    ("alter", "adoption", "why"),
    [
        ("ADD COLUMN x int", Adoption(topic="t"), "its id is bigint"),
        ("ALTER id TYPE text", Adoption(topic="t"), "or --column id=id if every text"),
        ("ADD COLUMN x int", Adoption(columns={"id": ""}, topic="t"), "nothing says what a row is: --column type"),
        ("ADD COLUMN x int", Adoption(columns=OWN_COLUMNS), "nothing says where its rows go"),
        ("ADD COLUMN topic text", Adoption(columns=OWN_COLUMNS), "ALTER COLUMN topic SET NOT NULL"),
        ("ALTER name DROP NOT NULL", Adoption(columns=OWN_COLUMNS, topic="t"), "ALTER COLUMN name SET NOT NULL"),
        ("ADD COLUMN x int", Adoption(columns={"id": "", "type": "kind"}, topic="t"), "no column kind: id, name"),
        ("ADD COLUMN x int", Adoption(columns={"seq": "id"}, topic="t"), "the outbox has no column seq"),
        ("ADD COLUMN headers text", Adoption(columns=OWN_COLUMNS, topic="t"), "headers are a JSON object"),
        ("ADD COLUMN x date", Adoption(columns={**OWN_COLUMNS, "created_at": "x"}, topic="t"), "x is date"),
        ("ADD COLUMN x int", Adoption(columns=OWN_COLUMNS, topic="t", backlog="true"), "--order COLUMN"),
        ("ADD COLUMN x int", Adoption(columns=OWN_COLUMNS, topic="no such topic!"), "'no such topic!' is no name"),
        ("ADD COLUMN x int", Adoption(columns=OWN_COLUMNS, topic=""), "'' is no name"),
        (
            'ADD COLUMN "x$adopt$" int',
            Adoption(columns=OWN_COLUMNS, topic="t", headers={"x": "x$adopt$"}),
            r"\$adopt\$ in a name",
        ),
    ],
)
def test_what_would_fail_a_writer_is_refused(conn: Connection, alter: str, adoption: Adoption, why: str):
    conn.execute(OWN)
    conn.execute(f"ALTER TABLE events {alter}".encode())
    with pytest.raises(Unadoptable, match=why):
        adopt(conn, "events", adoption=adoption)
    assert conn.execute("SELECT FROM pg_trigger WHERE tgname = 'txbox_adopt'").rowcount == 0


@pytest.mark.parametrize("name", ["nothing", "txbox.outbox_readable", "txbox.outbox", "t" * 60])
def test_only_a_table_of_others_is_adopted(conn: Connection, name: str):
    conn.execute(f"CREATE TABLE {'t' * 60} (type text NOT NULL, topic text NOT NULL)".encode())
    with pytest.raises(Unadoptable):
        adopt(conn, name)


def test_adopting_again_takes_the_new_columns_and_a_dropped_function_ends_it(conn: Connection, table: str):
    adopt(conn, table)
    adopt(conn, table, adoption=Adoption(columns={"aggregateid": ""}))
    conn.execute(INSERT, (uuid4(), "a", "1", "T", "{}"))
    assert rows(conn, "aggregateid") == [(None,)]
    conn.execute("DROP FUNCTION txbox.adopt_public_outboxevent() CASCADE")
    conn.execute(INSERT, (uuid4(), "a", "1", "T", "{}"))
    assert len(rows(conn)) == 1


def test_a_table_whose_function_is_anothers_is_refused(conn: Connection):
    for name in ("a_b.c", "a.b_c"):
        conn.execute(f"CREATE SCHEMA {name.partition('.')[0]}".encode())
        conn.execute(f"CREATE TABLE {name} (type text NOT NULL, topic text NOT NULL)".encode())
    adopt(conn, "a_b.c")
    adopt(conn, "a_b.c")
    with pytest.raises(Unadoptable, match=r"adopt_a_b_c.* is the function of a_b\.c"):
        adopt(conn, "a.b_c")


def test_partitions_on_both_sides_change_nothing(conn: Connection):
    conn.execute(
        "CREATE TABLE outboxevent"
        " (id uuid, aggregatetype text NOT NULL, aggregateid text, type text NOT NULL, payload jsonb)"
        " PARTITION BY LIST (type);"
        "CREATE TABLE placed PARTITION OF outboxevent FOR VALUES IN ('Placed')"
    )
    adopt(conn, "outboxevent")
    conn.execute(INSERT, (uuid4(), "a", "1", "Placed", "{}"))
    partition(conn)
    conn.execute(INSERT, (uuid4(), "a", "2", "Placed", "{}"))
    conn.execute("INSERT INTO placed VALUES (NULL, 'a', '3', 'Placed', '{}')")
    assert [key for (key,) in rows(conn, "aggregateid")] == ["1", "2", "3"]


def test_a_writer_in_the_middle_puts_it_off_and_is_named(conn: Connection, database: Database, table: str):
    with closing(psycopg.connect(database.url, application_name="the shop")) as writer:
        writer.execute(INSERT, (uuid4(), "a", "1", "T", "{}"))
        with pytest.raises(SchemaBusy, match="the shop"):
            adopt(conn, table, patience=0.1)
        writer.commit()
    adopt(conn, table, patience=0.1)
    assert rows(conn) == []


def test_the_sql_that_is_printed_does_the_same(conn: Connection, database: Database, table: str):
    printed = CliRunner().invoke(
        txbox, ["db", "adopt", table, "--header", "eventType=type", "--database-url", database.url]
    )
    assert printed.exit_code == 0, printed.output
    assert printed.stdout.strip() == adoption_sql(conn, table, adoption=Adoption(headers={"eventType": "type"}))
    with conn.transaction():
        conn.execute(printed.stdout)
    conn.execute(INSERT, (uuid4(), "a", "1", "T", "{}"))
    assert rows(conn, "headers") == [({"eventType": "T"},)]
    applied = CliRunner().invoke(txbox, ["db", "adopt", table, "--apply", "--database-url", database.url])
    assert (applied.exit_code, applied.stdout) == (0, "")
    conn.execute(INSERT, (uuid4(), "a", "1", "T", "{}"))
    assert rows(conn, "headers")[1:] == [(None,)]
    wrong = CliRunner().invoke(txbox, ["db", "adopt", table, "--column", "x", "--database-url", database.url])
    assert wrong.exit_code == 2


class Decoded:
    """What Debezium would publish: a slot, and a publication of the one table."""

    def __init__(self, conn: Connection) -> None:
        self._conn, self._slot = conn, f"debezium_{uuid4().hex[:8]}"
        conn.execute("CREATE PUBLICATION dbz_publication FOR TABLE outboxevent")
        conn.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", (self._slot,))

    def ids(self) -> list[UUID]:
        """The ids of inserts, in commit order: in pgoutput's text form, the first column of an Insert message."""
        changes = self._conn.execute(
            "SELECT data FROM pg_logical_slot_get_binary_changes(%s, NULL, NULL, "
            "'proto_version', '1', 'publication_names', 'dbz_publication')",
            (self._slot,),
        )
        # 'I', relation (4), 'N', columns (2), 't', length (4), the UUID's text
        return [UUID(data[13:49].decode()) for (data,) in changes if data[:1] == b"I"]

    def drop(self) -> None:
        self._conn.execute("SELECT pg_drop_replication_slot(%s)", (self._slot,))


def test_a_switch_over_under_writers_loses_repeats_and_swaps_nothing(
    conn: Connection, database: Database, kafka: Kafka, topics: Topics, table: str
):
    make_orders(conn)
    topic, decoded = topics.make(), Decoded(conn)
    try:
        with writers(database, topic) as writing:
            eventually(lambda: progress(conn) > 20)
            with psycopg.connect(database.url) as switch:
                switch.execute(adoption_sql(switch, table))
                switch.execute("ALTER PUBLICATION dbz_publication DROP TABLE outboxevent")
            before = progress(conn)
            with running(Relay(database, kafka, RelayConfig(topic="{aggregate}"))):
                eventually(lambda: progress(conn) > before + 20)
        written = [one for writer in writing for one in writer.result()]
        first = decoded.ids()
    finally:
        decoded.drop()
    Relay(database, kafka, RelayConfig(topic="{aggregate}")).run(once=True)
    published = [*first, *map(UUID, topics.ids(topic))]
    assert len(first) > 20
    assert len(published) - len(first) > 20
    assert sorted(published) == sorted(one.id for one in written)
    assert in_order(published, written)


def progress(conn: Connection) -> int:
    """How many messages one of the keys has had."""
    [version] = conn.execute("SELECT max(version) FROM orders").fetchone() or (0,)
    return int(version)
