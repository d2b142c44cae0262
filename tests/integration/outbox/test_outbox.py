"""Writing messages in a caller's transaction, on a real PostgreSQL."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import Connection, Cursor
from psycopg.rows import dict_row

from txbox.daemon import Database
from txbox.outbox import Message, NotInTransaction, Outbox, OutboxError, TransactionFailed, UnknownConnection
from txbox.schema import migrate


@pytest.fixture
def tx(database: Database) -> Iterator[Connection[Any]]:
    """A connection whose transactions begin by themselves, as most services have it."""
    with psycopg.connect(database.url) as conn:
        yield conn
        if not conn.closed:
            conn.rollback()


@pytest.fixture
def outbox() -> Outbox:
    return Outbox()


def types(conn: Connection[Any]) -> list[str]:
    """The types of all messages that are committed, in the order of their seqs."""
    return [type_ for (type_,) in conn.execute("SELECT type FROM txbox.outbox ORDER BY seq")]


def message(type_: str = "T", **fields: Any) -> Message:
    return Message(type_, topic="orders", **fields)


def test_a_message_is_there_when_its_transaction_commits(conn: Connection, tx: Connection, outbox: Outbox) -> None:
    outbox.add(tx, message())
    assert types(conn) == []
    tx.commit()
    assert types(conn) == ["T"]


def test_a_rolled_back_message_is_gone(conn: Connection, tx: Connection, outbox: Outbox) -> None:
    outbox.add(tx, message())
    tx.rollback()
    with conn.transaction(force_rollback=True):
        outbox.add(conn, message())
    assert types(conn) == []


def test_a_savepoint_takes_back_its_own_messages_only(conn: Connection, outbox: Outbox) -> None:
    with conn.transaction():
        outbox.add(conn, message("Before"))
        with conn.transaction(force_rollback=True):
            outbox.add(conn, message("Within"))
        outbox.add(conn, message("After"))
    assert types(conn) == ["Before", "After"]


def test_a_whole_message_is_stored_column_by_column(conn: Connection, outbox: Outbox) -> None:
    id_ = uuid4()
    headers: dict[str, str | bytes] = {"tenant": "a", "raw": b"\0\xff"}
    with conn.transaction():
        given = Message("T", {"n": 1}, topic="t", aggregate="a", key=7, headers=headers, reply_to="r", id=id_)
        assert outbox.add(conn, given) == id_
    row = conn.execute(
        "SELECT id, aggregatetype, aggregateid, type, payload, headers, topic FROM txbox.outbox"
    ).fetchone()
    stored = {"tenant": "a", "raw": {"base64": "AP8="}, "reply-to": "r"}
    assert row == (id_, "a", "7", "T", b'{"n":1}', stored, "t")


def test_ids_of_its_own_are_uuid7_in_the_order_of_the_messages(conn: Connection, outbox: Outbox) -> None:
    with conn.transaction():
        ids = [outbox.add(conn, message()) for _ in range(100)]
    assert {id_.version for id_ in ids} == {7}
    assert ids == sorted(ids)


def test_the_same_message_may_be_sent_again_on_purpose(conn: Connection, outbox: Outbox) -> None:
    with conn.transaction():
        id_ = outbox.add(conn, message())
        assert outbox.add(conn, message(id=id_)) == id_
    assert len(types(conn)) == 2


def test_a_cursor_keeps_the_results_it_has(conn: Connection, outbox: Outbox) -> None:
    with conn.transaction(), conn.cursor(row_factory=dict_row) as cursor:
        cursor.execute("SELECT generate_series(1, 3) AS n")
        outbox.add(cursor, message())
        outbox.add_many(cursor, [message()] * 3)
        assert [row["n"] for row in cursor] == [1, 2, 3]
    assert len(types(conn)) == 4


@pytest.mark.parametrize("add", [Outbox().add, lambda conn, one: Outbox().add_many(conn, [one])], ids=["add", "many"])
def test_in_autocommit_without_a_transaction_nothing_is_written(
    conn: Connection, add: Callable[[Connection, Message], object]
) -> None:
    with pytest.raises(NotInTransaction):
        add(conn, message())
    assert types(conn) == []


def test_a_transaction_that_failed_is_told_at_once(tx: Connection, outbox: Outbox) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero):
        tx.execute("SELECT 1/0")
    with pytest.raises(TransactionFailed):
        outbox.add(tx, message())


def test_what_is_no_open_connection_is_refused(tx: Connection, outbox: Outbox) -> None:
    tx.close()
    for given in (None, "postgresql://", object(), tx, tx.pgconn):
        with pytest.raises(UnknownConnection, match=r"psycopg\.Connection"):
            outbox.add(given, message())  # type: ignore[arg-type]  # that is the mistake


def test_a_refused_message_leaves_the_transaction_as_it_was(conn: Connection, tx: Connection, outbox: Outbox) -> None:
    outbox.add(tx, message("Kept"))
    for bad in (Message("NoRoute"), message(payload=object()), message(key=""), message(headers={"id": "x"})):
        with pytest.raises(OutboxError):
            outbox.add_many(tx, [message("Not"), bad])
    tx.commit()
    assert types(conn) == ["Kept"]


class Counting(Cursor[Any]):
    """A cursor that notes its statements."""

    ran: list[str]

    def execute(self, query: Any, *args: Any, **kwargs: Any) -> "Counting":
        self.ran.append(bytes(query).decode().split()[0])
        return super().execute(query, *args, **kwargs)


@pytest.fixture
def counted(tx: Connection[Any]) -> list[str]:
    """The statements that are run on `tx`, each by its first word."""
    ran: list[str] = []
    tx.cursor_factory = type("CountingHere", (Counting,), {"ran": ran})
    return ran


@pytest.mark.parametrize(("messages", "statements"), [(0, []), (1, ["--"]), (1000, ["--"])])
def test_many_messages_are_one_statement(
    tx: Connection, outbox: Outbox, counted: list[str], messages: int, statements: Sequence[str]
) -> None:
    assert len(outbox.add_many(tx, (message() for _ in range(messages)))) == messages
    assert len(counted) == len(statements)


def test_one_message_is_one_statement(tx: Connection, outbox: Outbox, counted: list[str]) -> None:
    outbox.add(tx, message())
    assert counted == ["INSERT"]


def test_locks_cost_one_statement_for_all_keys(tx: Connection, counted: list[str]) -> None:
    Outbox(lock_keys=True).add_many(tx, [message(key=n) for n in range(50)])
    Outbox(lock_keys=True).add(tx, message())
    assert len(counted) == 3


def test_many_messages_keep_their_order_and_their_columns(conn: Connection, outbox: Outbox) -> None:
    given = [message(f"T{n}", payload=n if n % 3 else None, key=n if n % 2 else None) for n in range(500)]
    with conn.transaction():
        ids = outbox.add_many(conn, given)
    rows = conn.execute("SELECT id, type, payload, aggregateid FROM txbox.outbox ORDER BY seq").fetchall()
    assert [row[0] for row in rows] == ids
    assert [row[1:] for row in rows] == [
        (f"T{n}", str(n).encode() if n % 3 else None, str(n) if n % 2 else None) for n in range(500)
    ]


def test_many_messages_are_written_all_or_none(conn: Connection, outbox: Outbox) -> None:
    with conn.transaction(), pytest.raises(OutboxError):
        outbox.add_many(conn, [message(), message(), Message("NoRoute")])
    assert types(conn) == []


def test_a_seq_cannot_be_chosen(conn: Connection) -> None:
    with pytest.raises(psycopg.errors.GeneratedAlways):
        conn.execute("INSERT INTO txbox.outbox (seq, type, topic) VALUES (5, 'T', 't')")


def test_a_row_without_a_route_is_refused_by_the_table_too(conn: Connection) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="outbox_has_route"):
        conn.execute("INSERT INTO txbox.outbox (type) VALUES ('T')")


def test_an_insert_by_hand_gets_an_id_and_a_time(conn: Connection) -> None:
    row = conn.execute(
        "INSERT INTO txbox.outbox (type, topic) VALUES ('T', 't') RETURNING id, created_at <= clock_timestamp()"
    ).fetchone()
    assert row is not None
    assert isinstance(row[0], UUID)
    assert row[1]


def test_a_schema_of_another_name_is_written_to(conn: Connection) -> None:
    migrate(conn, "My-Schema")
    with conn.transaction():
        Outbox(schema="My-Schema").add(conn, message())
    assert types(conn) == []
    assert conn.execute('SELECT type FROM "My-Schema".outbox').fetchall() == [("T",)]
