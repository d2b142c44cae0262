"""A message whose handler fails is held, those behind it in its key wait, and all others go on."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import dict_row

from tests.integration.consumer.conftest import Effects, Settle
from tests.integration.consumer.test_held import dead as rows_of
from tests.integration.topics import Raw, Topics
from tests.unit.consumer.records import record
from tests.waiting import eventually
from txbox.consumer import Consumer, Received, Reject, Retry
from txbox.consumer.outcomes import Committed, Stopped
from txbox.consumer.policy import Then
from txbox.consumer.received import Record
from txbox.consumer.verdicts import Verdict


def rows(conn: Connection[Any]) -> list[tuple[Any, ...]]:
    """The held rows: partition's offset, state, reason, attempts, whether it blocks and has a time."""
    held = rows_of(conn)
    names = ("kafka_offset", "state", "reason", "attempts", "blocks")
    return [(*(row[name] for name in names), row["due_at"] is not None) for row in held]


def records(text: str, **how: Any) -> list[Record]:
    """Records of keys a, b, c ...; those in capitals are bad."""
    return [record("Bad" if c.isupper() else "T", key=c.lower().encode(), offset=n, **how) for n, c in enumerate(text)]


def settled(settle_batch: Settle, given: list[Record]) -> Committed:
    """Settle a batch, as the loop does: once more, and apart, if it was rolled back."""
    blamed: dict[Any, Exception] = {}
    for _ in range(3):
        outcome = settle_batch(*given, blamed=blamed, apart=bool(blamed))
        if isinstance(outcome, Committed):
            return outcome
        assert outcome.at is not None
        blamed[outcome.at.id] = outcome.error
    raise AssertionError("three runs were not enough")


@pytest.fixture(autouse=True)
def handlers(consumer: Consumer, effects: Effects) -> list[Received]:
    """Handlers that do as their message's type says; returns what the bad one was given."""
    seen: list[Received] = []
    consumer.handler("T")(effects.add)

    @consumer.handler("Bad")
    def bad(conn: Connection[Any], message: Received) -> None:
        seen.append(message)
        effects.add(conn, message)
        raise ValueError("secret")

    return seen


def test_a_message_that_fails_is_held_and_the_others_have_their_effect(
    settle_batch: Settle, effects: Effects, conn: Connection, handlers: list[Received]
) -> None:
    outcome = settled(settle_batch, records("aBc"))
    assert (effects.count(), len(outcome.handled), len(outcome.failed)) == (2, 2, 1)
    assert rows(conn) == [(1, "waiting", "failed", 1, True, True)]
    assert len(handlers) == 1, "one attempt, one run"
    assert "secret" not in str(rows_of(conn))


def test_all_that_fail_are_held_in_two_runs_of_the_others(
    consumer: Consumer, settle_batch: Settle, effects: Effects, conn: Connection, handlers: list[Received]
) -> None:
    outcome = settled(settle_batch, records("aBcDeFgH"))
    assert (effects.count(), len(outcome.failed)) == (4, 4)
    assert [row[0] for row in rows(conn)] == [1, 3, 5, 7]
    assert len(handlers) == 4


def test_those_behind_it_in_its_key_wait_in_this_batch_and_in_the_next(
    settle_batch: Settle, effects: Effects, conn: Connection
) -> None:
    first = settled(settle_batch, records("aBbcb"))
    assert [message.offset for message in first.follow] == [2, 4]
    given = records("bab")
    second = settled(settle_batch, [r._replace(offset=10 + r.offset) for r in given])
    assert [message.offset for message in second.follow] == [10, 12]
    assert rows(conn) == [
        (1, "waiting", "failed", 1, True, True),
        *((n, "waiting", "follows", 0, True, False) for n in (2, 4, 10, 12)),
    ]
    assert effects.count() == 3


def test_a_key_is_held_in_its_topic_only_and_by_no_prefix(settle_batch: Settle, effects: Effects) -> None:
    settled(settle_batch, records("A"))
    elsewhere = record(key=b"a")._replace(topic="others")
    outcome = settled(settle_batch, [elsewhere, record(key=b"ab"), record(key=None), record(key=b"")])
    assert not outcome.follow
    assert effects.count() == 4


def test_a_key_may_be_of_any_length(settle_batch: Settle, effects: Effects, conn: Connection) -> None:
    long = b"\xff\0" * 50_000
    outcome = settled(settle_batch, [record("Bad", key=long), record(key=long), record(value=b"{", key=long)])
    assert (len(outcome.failed), len(outcome.follow), len(outcome.unreadable)) == (1, 1, 1)
    assert [row["key"] for row in rows_of(conn)] == [long] * 3


def test_without_a_key_nothing_waits_behind_it(settle_batch: Settle, effects: Effects, conn: Connection) -> None:
    settled(settle_batch, [record("Bad", offset=0), record(offset=1)])
    assert effects.count() == 1
    assert rows(conn) == [(0, "waiting", "failed", 1, False, True)]


@pytest.mark.parametrize(("then", "blocks", "effect"), [("hold", True, 0), ("release", False, 1)])
def test_after_the_last_attempt_it_is_dead_and_holds_its_key_or_lets_it_go(
    consumer: Consumer, settle_batch: Settle, effects: Effects, conn: Connection, then: Then, blocks: bool, effect: int
) -> None:
    @consumer.handler("Once", retry=Retry(attempts=1), then=then)
    def once(*_: object) -> None:
        raise ValueError

    outcome = settled(settle_batch, [record("Once", key=b"a", offset=0), record(key=b"a", offset=1)])
    assert (effects.count(), len(outcome.follow)) == (effect, 1 - effect)
    assert rows(conn)[0] == (0, "dead", "attempts", 1, blocks, False)


def test_a_handler_may_say_that_no_other_try_will_do(
    consumer: Consumer, settle_batch: Settle, conn: Connection
) -> None:
    @consumer.handler("No")
    def reject(*_: object) -> None:
        raise Reject("no such customer")

    settled(settle_batch, [record("No", offset=0)])
    assert rows(conn) == [(0, "dead", "rejected", 1, False, False)]
    assert "no such customer" in rows_of(conn)[0]["error"]


def test_a_deferred_constraint_speaks_of_its_own_message(
    consumer: Consumer, settle_batch: Settle, effects: Effects, conn: Connection
) -> None:
    conn.execute("CREATE TABLE charge (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    consumer.handler("Charge")(lambda conn, m: conn.execute("INSERT INTO charge VALUES (%s)", (m.offset % 2,)) and None)
    given = [record("Charge", offset=n, key=str(n).encode()) for n in range(4)]
    first = settle_batch(*given)
    assert isinstance(first, Stopped)
    assert (first.verdict, first.at) == (Verdict.MESSAGE, None)
    outcome = settle_batch(*given, apart=True)
    assert isinstance(outcome, Committed)
    assert [failed.message.offset for failed in outcome.failed] == [2, 3]
    assert conn.execute("SELECT count(*) FROM charge").fetchone() == (2,)


def test_the_mode_of_constraints_is_as_it_was_for_the_next_message(
    consumer: Consumer, settle_batch: Settle, conn: Connection
) -> None:
    conn.execute("CREATE TABLE parent (n int PRIMARY KEY)")
    conn.execute("CREATE TABLE child (n int REFERENCES parent DEFERRABLE INITIALLY DEFERRED)")

    @consumer.handler("Pair")
    def pair(conn: Connection, message: Received) -> None:
        conn.execute("INSERT INTO child VALUES (%s)", (message.offset,))
        conn.execute("INSERT INTO parent VALUES (%s)", (message.offset,))

    outcome = settle_batch(record("Pair"), record("Pair"), apart=True)
    assert isinstance(outcome, Committed)
    assert len(outcome.handled) == 2


def swallow(conn: Connection[Any], _: Received) -> None:
    with suppress(psycopg.Error):
        conn.execute("SELECT 1/0")


def leave_a_stream(conn: Connection[Any], _: Received) -> None:
    global _stream  # or it would be closed when the handler returns
    _stream = conn.cursor().stream("SELECT generate_series(1, 100000)")
    next(_stream)


def leave_a_block(conn: Connection[Any], _: Received) -> None:
    _block.append(conn.transaction())
    _block[-1].__enter__()


def leave_a_block_and_raise(conn: Connection[Any], message: Received) -> None:
    leave_a_block(conn, message)
    raise ValueError


def lose_the_session_without_a_word(conn: Connection[Any], _: Received) -> None:
    with suppress(psycopg.Error):
        conn.execute("SELECT pg_terminate_backend(pg_backend_pid())")


def leave_a_cursor_and_a_savepoint(conn: Connection[Any], _: Received) -> None:
    conn.execute("DECLARE mine CURSOR FOR SELECT generate_series(1, 1000)")
    conn.execute("FETCH mine")
    conn.execute("SAVEPOINT mine")


_stream: Any = None
_block: list[Any] = []


@pytest.mark.parametrize("what", [swallow])
def test_what_a_handler_did_to_the_transaction_is_its_own_messages_failure(
    consumer: Consumer, settle_batch: Settle, effects: Effects, what: Callable[..., None]
) -> None:
    consumer.handler("What")(what)
    outcome = settled(settle_batch, [record(), record("What", key=b"w", offset=77), record()])
    assert [failed.message.offset for failed in outcome.failed] == [77]
    assert effects.count() == 2


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize(
    ("what", "verdict"),
    [
        (leave_a_stream, Verdict.MESSAGE),
        (leave_a_block, Verdict.MESSAGE),
        (leave_a_block_and_raise, Verdict.MESSAGE),
        (lose_the_session_without_a_word, Verdict.OUTAGE),  # a server that restarts looks the same
    ],
)
def test_what_leaves_the_connection_beyond_use_stops_the_batch_at_its_own_message(
    consumer: Consumer, settle_batch: Settle, what: Callable[..., None], verdict: Verdict, apart: bool
) -> None:
    """Were it used again, all that follows would be in a transaction that nobody commits."""
    consumer.handler("What")(what)
    outcome = settle_batch(record(), record("What", offset=77), record(), apart=apart)
    assert isinstance(outcome, Stopped)
    assert outcome.at is not None
    assert (outcome.verdict, outcome.at.offset, outcome.disconnected) == (verdict, 77, True)


def test_a_cursor_that_was_left_open_is_in_nobodys_way(
    consumer: Consumer, settle_batch: Settle, effects: Effects
) -> None:
    consumer.handler("Cursor")(leave_a_cursor_and_a_savepoint)
    for apart in (False, True):
        outcome = settle_batch(record(), record("Cursor"), record(), apart=apart)
        assert isinstance(outcome, Committed)
        assert len(outcome.handled) == 3


def test_what_takes_too_long_is_left_for_the_next_time(
    consumer: Consumer, settle_batch: Settle, effects: Effects, conn: Connection
) -> None:
    """A transaction lasts a second, whatever handlers do: those that were slow take few messages."""

    @consumer.handler("Slow")
    def slow(conn: Connection, message: Received) -> None:
        effects.add(conn, message)
        conn.execute("SELECT pg_sleep(0.4)")

    given = [record("Slow", offset=n) for n in range(8)]
    outcome = settle_batch(*given)
    assert isinstance(outcome, Committed)
    assert 0 < outcome.taken < 8
    assert effects.count() == outcome.taken
    with conn.cursor(row_factory=dict_row) as cursor:
        taken = cursor.execute("SELECT kafka_offset FROM txbox.processed_messages ORDER BY kafka_offset").fetchall()
    assert [row["kafka_offset"] for row in taken] == list(range(outcome.taken))


def test_of_one_key_no_more_are_held_than_may_be(settle_batch: Settle, conn: Connection) -> None:
    settled(settle_batch, records("A"))
    given = [r._replace(offset=10 + r.offset) for r in records("caaa")]
    outcome = settle_batch(*given, room=2)
    assert isinstance(outcome, Committed)
    assert (outcome.taken, bool(outcome.full)) == (3, True)
    assert len(rows(conn)) == 3


def test_what_goes_wrong_between_handlers_is_not_blamed_on_the_last_one(
    consumer: Consumer, settle_batch: Settle, conn: Connection, guarded: Connection
) -> None:
    """It failed in the batch before, which was nobody's fault; now ids cannot be taken."""

    @consumer.handler("InTheWay")
    def in_the_way(*_: object) -> None:
        raise psycopg.errors.DeadlockDetected

    given = [record("InTheWay"), record()]
    assert settle_batch(*given).verdict is Verdict.AGAIN  # type: ignore[union-attr]
    guarded.execute("SET statement_timeout = 200")
    with conn.transaction():
        conn.execute("LOCK TABLE txbox.processed_messages IN ACCESS EXCLUSIVE MODE")
        outcome = settle_batch(*given)
    assert isinstance(outcome, Stopped)
    assert (outcome.verdict, outcome.at) == (Verdict.AGAIN, None)


def test_a_commit_that_fails_is_not_blamed_on_the_message_that_is_held_by_it(
    settle_batch: Settle, conn: Connection
) -> None:
    conn.execute(
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'serialization_failure'; END $$;"
        "CREATE CONSTRAINT TRIGGER no AFTER INSERT ON txbox.held_messages DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION no()"
    )
    outcome = settle_batch(*records("aB"), apart=True)
    assert isinstance(outcome, Stopped)
    assert (outcome.verdict, outcome.at) == (Verdict.AGAIN, None)


def test_a_message_that_is_to_be_alone_never_runs_again_for_another(
    consumer: Consumer, effects: Effects, run: Callable[..., Any], topics: Topics, conn: Connection
) -> None:
    name = topics.make(".alone")
    consumer.topics = (name,)
    alone: list[int] = []

    @consumer.handler("Alone", alone=True)
    def handle(conn: Connection[Any], message: Received) -> None:
        alone.append(message.offset)
        effects.add(conn, message)

    types = ["T", "Alone", "Alone", "Bad", "T", "Alone", "Bad", "T"] * 5
    topics.put(name, *(Raw.message(type_) for type_ in types))
    with run(backoff_first=60.0):
        eventually(lambda: effects.count() == 30)
    assert sorted(alone) == [n for n, type_ in enumerate(types) if type_ == "Alone"]
    shared = "SELECT e.xmin::text, count(*) FROM effect AS e GROUP BY 1 HAVING count(*) > 1"
    of_alone = (
        "SELECT DISTINCT e.xmin::text FROM effect AS e JOIN txbox.processed_messages AS p ON p.message_id = e.id "
        "WHERE p.kafka_offset = ANY(%s)"
    )
    together = {xmin for xmin, _ in conn.execute(shared)}
    assert together.isdisjoint(xmin for (xmin,) in conn.execute(of_alone, (alone,)))


def test_a_huge_message_is_held_with_all_its_bytes(settle_batch: Settle, conn: Connection) -> None:
    huge = b'"' + b"x" * 20_000_000 + b'"'
    settled(settle_batch, [record("Bad", huge, key=b"h", offset=0), record("T", huge[:-1], key=b"h", offset=1)])
    assert [row[:3] for row in rows(conn)] == [(0, "waiting", "failed"), (1, "dead", "unreadable")]
    sizes = conn.execute("SELECT octet_length(payload) FROM txbox.held_messages ORDER BY n").fetchall()
    assert sizes == [(len(huge),), (len(huge) - 1,)]
