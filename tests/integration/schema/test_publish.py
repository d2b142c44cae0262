"""txbox.publish: messages by triggers, and by programs in any language."""

from collections.abc import Callable, Iterator
from uuid import UUID

import pytest
from psycopg import Connection, sql
from psycopg.errors import InsufficientPrivilege, InvalidParameterValue

from tests.integration.conftest import Publish
from tests.integration.topics import Topics
from txbox.outbox import Message
from txbox.relay import Relay
from txbox.schema import migrate

#: what is lost or changed by jsonb, by bytea's input, by escape strings, or by parsing and writing anew
TEXTS = [
    r'{"path": "C:\\new\\table", "tab":	"\t", "nul": "\u0000"}'.replace("	", " "),
    '{"b": 1,   "a": 2,\n\t"b": 3}',
    r'"\ud83d\ude00 \u00fc \/ \\x41 \\134"',
    '"😀 ü \' % %s %% {braces} $1 :name"',
    "1.10",
    "1e400",
    "12345678901234567890123",
    " null ",
    "[]",
    '"' + "x" * 100_000 + '"',
]


def test_it_writes_what_an_outbox_writes(conn: Connection, publish: Publish) -> None:
    row = conn.execute(
        """SELECT txbox.publish('OrderPlaced', '{"total":42}', 'orders', '1', headers => '{"a": "b"}')"""
    ).fetchone()
    [id_] = publish(Message("OrderPlaced", {"total": 42}, topic="orders", key=1, headers={"a": "b"}))
    ours, theirs = conn.execute(
        "SELECT type, payload, topic, aggregateid, aggregatetype, headers FROM txbox.outbox ORDER BY seq"
    ).fetchall()
    assert ours == theirs
    assert row is not None
    assert conn.execute("SELECT id FROM txbox.outbox ORDER BY seq").fetchall() == [(row[0],), (id_,)]
    assert row[0].version == 7


def test_a_payload_arrives_byte_for_byte(
    conn: Connection, relay_once: Callable[..., Relay], topics: Topics, topic: str
) -> None:
    """As a parameter of any driver, and as a literal in a statement."""
    for text in TEXTS:
        conn.execute("SELECT txbox.publish('T', %s, topic => %s)", (text, topic))
        conn.execute(sql.SQL("SELECT txbox.publish('T', {}, topic => {})").format(text, topic))
    conn.execute("SELECT txbox.publish('T', topic => %s)", (topic,))
    relay_once()
    expected = [text.encode() for text in TEXTS for _ in range(2)]
    assert [record.value for record in topics.read(topic)] == [*expected, None]


def test_a_trigger_tells_of_each_row_in_its_transaction(
    conn: Connection, relay_once: Callable[..., Relay], topics: Topics, topic: str
) -> None:
    conn.execute("CREATE TABLE orders (id int PRIMARY KEY, note text)")
    conn.execute(
        sql.SQL(
            """
            CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                PERFORM txbox.publish('Order' || TG_OP, row_to_json(NEW), topic => {}, key => NEW.id::text,
                    headers => jsonb_build_object('by', current_user));
                RETURN NULL;
            END $$;
            CREATE TRIGGER told AFTER INSERT OR UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION tell();
            """
        ).format(topic)
    )
    note = 'back\\slash "quote" ü\n😀'
    with conn.transaction():
        conn.execute("INSERT INTO orders VALUES (1, %s), (2, NULL)", (note,))
        conn.execute("UPDATE orders SET note = 'new' WHERE id = 2")
    with conn.transaction(force_rollback=True):
        conn.execute("INSERT INTO orders VALUES (3, 'never')")
    relay_once()
    records = topics.read(topic)
    kept = conn.execute("SELECT row_to_json(orders)::text FROM orders WHERE id = 1").fetchone()
    assert kept is not None
    assert [record.value for record in records] == [
        kept[0].encode(),
        b'{"id":2,"note":null}',
        b'{"id":2,"note":"new"}',
    ]
    assert [record.key for record in records] == [b"1", b"2", b"2"]
    assert [record.header("type") for record in records] == [b"OrderINSERT", b"OrderINSERT", b"OrderUPDATE"]
    assert len({record.header("id") for record in records}) == 3
    assert records[0].header("by") == conn.info.user.encode()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ("NULL, '1', 't'", "type"),
        ("'', '1', 't'", "type"),
        ("'T', '1'", "topic => "),
        ("'T', '1', 'no topic'", "no topic"),
        ("'T', '1', '..'", "no topic"),
        ("'T', '1', ''", "no topic"),
        ("'T', '1', repeat('t', 250)", "no topic"),
        ("'T', '1', E't\\n'", "no topic"),
        ("'T', '1', aggregate => 'a b'", "no topic"),
        ("'T', '1', 't', ''", "key is empty"),
        ("'T', '1', 't', headers => '[]'", "one JSON object"),
        ("""'T', '1', 't', headers => '{"id": "1"}'""", "id and type"),
        *(
            (f"""'T', '1', 't', headers => '{{"a": "b", "content-type": {value}}}'""", "a header is a text")
            for value in (
                "5",
                "null",
                "true",
                '["a"]',
                "{}",
                '{"base64": 1}',
                '{"base64": "no!"}',
                '{"base64": "YQ=="}'[:-1] + ', "b": "c"}',
            )
        ),
        ("""'T', to_json(repeat('x', 900000)), 't'""", "900002 bytes"),
    ],
)
def test_what_would_stop_the_relay_is_refused(conn: Connection, arguments: str, why: str) -> None:
    with pytest.raises(InvalidParameterValue, match=why):
        conn.execute(f"SELECT txbox.publish({arguments})".encode())
    assert conn.execute("SELECT count(*) FROM txbox.outbox").fetchone() == (0,)


def test_a_header_is_text_or_bytes(
    conn: Connection, relay_once: Callable[..., Relay], topics: Topics, topic: str
) -> None:
    headers = '{"empty": "", "bytes": {"base64": "AP8="}, "none": {"base64": ""}}'
    conn.execute("SELECT txbox.publish('T', '1', %s, headers => %s)", (topic, headers))
    relay_once()
    (record,) = topics.read(topic)
    assert {("empty", b""), ("bytes", b"\x00\xff"), ("none", b"")} <= set(record.headers)


def test_a_larger_payload_may_be_allowed(conn: Connection) -> None:
    with conn.transaction():
        conn.execute("SET LOCAL txbox.max_payload = 1000000")
        conn.execute("SELECT txbox.publish('T', to_json(repeat('x', 900000)), 't')")
    with pytest.raises(InvalidParameterValue):
        conn.execute("SELECT txbox.publish('T', to_json(repeat('x', 900000)), 't')")


@pytest.fixture
def writer(conn: Connection) -> Iterator[sql.Identifier]:
    """A role that sees the schema, and may do nothing in it."""
    role = sql.Identifier(f"writer_{conn.info.dbname}")
    conn.execute(sql.SQL("CREATE ROLE {0}; GRANT USAGE ON SCHEMA txbox TO {0}").format(role))
    yield role
    conn.execute("RESET ROLE")
    conn.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(role))


def test_it_needs_the_right_to_insert_and_no_other(conn: Connection, writer: sql.Identifier) -> None:
    call = "SELECT txbox.publish('T', '1', 't')"
    conn.execute(sql.SQL("SET ROLE {}").format(writer))
    with pytest.raises(InsufficientPrivilege, match="outbox"):
        conn.execute(call)
    conn.execute("RESET ROLE")
    columns = "id, aggregatetype, aggregateid, type, payload, headers, topic"
    conn.execute(sql.SQL(f"GRANT INSERT ({columns}) ON txbox.outbox TO {{}}").format(writer))
    conn.execute(sql.SQL("SET ROLE {}").format(writer))
    row = conn.execute(call).fetchone()
    assert row is not None
    assert isinstance(row[0], UUID)


def test_names_in_the_callers_search_path_are_not_taken_for_its_own(conn: Connection) -> None:
    """A writer's own functions would run in the place of PostgreSQL's."""
    conn.execute("CREATE SCHEMA evil")
    conn.execute("CREATE FUNCTION evil.convert_to(text, name) RETURNS bytea LANGUAGE sql AS 'SELECT NULL::bytea'")
    conn.execute("CREATE FUNCTION evil.length(bytea) RETURNS int LANGUAGE sql AS 'SELECT 1000000'")
    with conn.transaction():
        conn.execute("SET LOCAL search_path = evil, pg_catalog")
        conn.execute("SELECT txbox.publish('T', '1', 't')")
    assert conn.execute("SELECT payload FROM txbox.outbox").fetchall() == [(b"1",)]


@pytest.mark.parametrize("name", ["My-Schema", 'quo"ted', "it's"])
def test_it_writes_into_its_own_schema(conn: Connection, name: str) -> None:
    migrate(conn, name)
    schema = sql.Identifier(name)
    conn.execute(sql.SQL("SELECT {}.publish('T', '1', 't')").format(schema))
    assert conn.execute(sql.SQL("SELECT type FROM {}.outbox").format(schema)).fetchall() == [("T",)]
