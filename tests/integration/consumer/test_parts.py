"""A message that fails among many: only a part of its batch runs again, and nothing of the first run is left."""

import sys
from collections import Counter
from typing import Any

import psycopg
import pytest
from psycopg import Connection

from tests.integration.consumer.conftest import Effects, Settle
from tests.integration.consumer.test_batch import count
from tests.integration.consumer.test_failing import rows
from tests.unit.consumer.records import record
from txbox.consumer import Consumer, Received
from txbox.consumer.outcomes import Committed, Stopped
from txbox.consumer.received import Record

#: more than two parts
MANY = 130


@pytest.fixture
def ran(consumer: Consumer, effects: Effects) -> Counter[int]:
    """How often the message of each offset ran. One of type Bad has its effect, and then raises."""
    seen = Counter[int]()

    @consumer.handler()
    def handle(conn: Connection[Any], message: Received) -> None:
        seen[message.offset] += 1
        effects.add(conn, message)
        if message.type == "Bad":
            raise ValueError

    return seen


def many(*bad: int, keys: dict[int, bytes] | None = None) -> list[Record]:
    """So many records, each of its own key where it is not told."""
    named = keys or {}
    return [
        record("Bad" if n in bad else "T", key=named.get(n, str(n).encode()), offset=n) for n in range(MANY)
    ]  # fmt: skip


def committed(settle_batch: Settle, given: list[Record]) -> Committed:
    outcome = settle_batch(*given)
    assert isinstance(outcome, Committed)
    return outcome


def test_only_its_part_runs_again(settle_batch: Settle, effects: Effects, ran: Counter[int], conn: Connection) -> None:
    given = many(60)
    outcome = committed(settle_batch, given)
    assert [failed.message.offset for failed in outcome.failed] == [60]
    assert outcome.taken == MANY
    assert rows(conn) == [(60, "waiting", "failed", 1, True, True)]
    others = [r for r in given if r.offset != 60]
    assert effects.ids() == [str(dict(r.headers)["id"], "utf-8") for r in others]  # type: ignore[arg-type]
    assert {n for n, times in ran.items() if times > 1} == set(range(50, 60))
    assert ran[60] == 1, "one attempt, one run"
    assert max(ran.values()) == 2


def test_all_that_fail_are_held(settle_batch: Settle, effects: Effects, ran: Counter[int], conn: Connection) -> None:
    bad = (0, 49, 50, 51, 99, 128, 129)
    outcome = committed(settle_batch, many(*bad))
    assert [failed.message.offset for failed in outcome.failed] == list(bad)
    assert [row[0] for row in rows(conn)] == list(bad)
    assert effects.count() == MANY - len(bad)
    assert all(ran[n] == 1 for n in (0, 50, 128)), "one attempt, one run"
    # Where many fail, what comes next is apart at once: nothing before the one at 128 ran again.
    assert all(ran[n] == 1 for n in range(100, MANY))


def test_what_waits_behind_one_of_another_part_is_held_once(
    settle_batch: Settle, effects: Effects, ran: Counter[int], conn: Connection
) -> None:
    outcome = committed(settle_batch, many(3, 60, keys={3: b"a", 55: b"a", 65: b"a", 110: b"a"}))
    assert [message.offset for message in outcome.follow] == [55, 65, 110]
    assert [row[0] for row in rows(conn)] == [3, 60, 55, 65, 110]
    assert not ran.keys() & {55, 65, 110}
    assert effects.count() == MANY - 5


def test_a_copy_is_known_across_parts(
    settle_batch: Settle, effects: Effects, ran: Counter[int], conn: Connection
) -> None:
    given = many(60)
    for copy, of in ((57, 10), (58, 56), (120, 57 - 6)):
        given[copy] = given[of]._replace(offset=copy)
    outcome = committed(settle_batch, given)
    assert [message.offset for message in outcome.duplicates] == [57, 58, 120]
    assert effects.count() == MANY - 4
    assert count(conn, "processed_messages") == MANY - 3
    assert not ran.keys() & {57, 58, 120}


def test_a_deferred_constraint_of_an_earlier_part_is_not_blamed_on_what_runs_apart(
    consumer: Consumer, settle_batch: Settle, conn: Connection, effects: Effects
) -> None:
    conn.execute("CREATE TABLE charge (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)")

    @consumer.handler()
    def handle(conn: Connection[Any], message: Received) -> None:
        effects.add(conn, message)
        if message.offset in (5, 6):
            conn.execute("INSERT INTO charge VALUES (1)")
        if message.offset == 110:
            conn.execute("DELETE FROM charge")  # COMMIT would have nothing to say
        if message.type == "Bad":
            raise ValueError

    outcome = settle_batch(*many(60))
    assert isinstance(outcome, Stopped)
    assert isinstance(outcome.error, psycopg.errors.UniqueViolation)
    assert outcome.at is None, "nobody knows whose it is, until each runs apart"
    found = settle_batch(*many(60), apart=True)
    assert isinstance(found, Committed)
    assert [failed.message.offset for failed in found.failed] == [6, 60]
    assert effects.count() == MANY - 2


def test_what_is_nobodys_fault_undoes_the_whole_batch(
    consumer: Consumer, settle_batch: Settle, conn: Connection, effects: Effects
) -> None:
    @consumer.handler()
    def handle(conn: Connection[Any], message: Received) -> None:
        effects.add(conn, message)
        if message.offset == 60:
            raise psycopg.errors.DeadlockDetected

    outcome = settle_batch(*many())
    assert isinstance(outcome, Stopped)
    assert (effects.count(), count(conn, "processed_messages")) == (0, 0)


def test_to_other_messages_an_error_that_was_another_s_is_nothing(consumer: Consumer, settle_batch: Settle) -> None:
    current: set[BaseException | None] = set()

    @consumer.handler()
    def handle(_: Connection[Any], message: Received) -> None:
        current.add(sys.exc_info()[1])
        if message.type == "Bad":
            raise KeyError("another's secret")

    committed(settle_batch, many(60))
    assert current == {None}


def test_where_each_fails_slowly_it_is_soon_over(consumer: Consumer, settle_batch: Settle, conn: Connection) -> None:
    """A dependency that is away costs a time-out a message: the loop must come to see that it is an outage."""
    ran = Counter[int]()

    @consumer.handler()
    def handle(conn: Connection[Any], message: Received) -> None:
        ran[message.offset] += 1
        conn.execute("SELECT pg_sleep(0.3)")
        raise TimeoutError

    outcome = committed(settle_batch, many())
    assert 0 < outcome.taken < 20
    assert ran.total() <= outcome.taken + 1


def test_a_transaction_that_somebody_left_open_is_not_taken_for_ours(
    consumer: Consumer, settle_batch: Settle, effects: Effects, guarded: Any
) -> None:
    """Else COMMIT would end a savepoint, and offsets of effects that are not durable would be committed."""
    consumer.handler("T")(effects.add)
    guarded.autocommit = False
    guarded.execute("SELECT 1")
    outcome = settle_batch(record(), record())
    assert isinstance(outcome, Stopped)
    assert outcome.disconnected
