"""Two owners of one message at once: a real race of two connections."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import pytest
from psycopg import Connection

from tests.waiting import eventually
from txbox.consumer.inbox import Inbox
from txbox.daemon import Database


class Given(NamedTuple):
    """All that the inbox asks of a message."""

    id: UUID
    topic: str = "orders"
    partition: int = 0
    offset: int = 0


class Owner:
    """A consumer's connection, which claims in a thread of its own."""

    def __init__(self, database: Database) -> None:
        self.conn: Connection[Any] = Connection.connect(database.url, autocommit=True)
        self.inbox = Inbox(self.conn, database.schema, "billing")
        self.pool = ThreadPoolExecutor(1)

    def begin(self) -> None:
        self.conn.execute("BEGIN")

    def close(self) -> None:
        self.pool.shutdown()
        self.conn.close()


@pytest.fixture
def owners(database: Database) -> Iterator[tuple[Owner, Owner]]:
    first, second = Owner(database), Owner(database)
    yield first, second
    first.close()
    second.close()


def waits(conn: Connection, owner: Owner) -> bool:
    """Whether an owner's statement waits for another transaction."""
    row = conn.execute("SELECT pg_blocking_pids(%s) <> '{}'", (owner.conn.info.backend_pid,)).fetchone()
    return bool(row and row[0])


@pytest.mark.parametrize(("end", "left"), [("COMMIT", 0), ("ROLLBACK", 1)])
def test_the_second_waits_and_then_sees_what_the_first_did(
    owners: tuple[Owner, Owner], conn: Connection, end: str, left: int
) -> None:
    first, second = owners
    message = Given(uuid4())
    first.begin()
    second.begin()
    assert first.inbox.claim([message]) == {message.id}
    claimed = second.pool.submit(second.inbox.claim, [message])
    eventually(lambda: waits(conn, second))
    first.conn.execute(end.encode())
    assert len(claimed.result(10)) == left
    second.conn.execute("COMMIT")


def test_batches_in_crossed_orders_do_not_deadlock(owners: tuple[Owner, Owner], database: Database) -> None:
    # A third owner has taken what is in the middle of both: each has taken its first one when it comes to wait there.
    left, middle, right = (Given(UUID(int=n)) for n in (1, 2, 3))
    third, claims = Owner(database), []
    third.begin()
    third.inbox.claim([middle])
    for owner, order in zip(owners, ([left, middle, right], [right, middle, left]), strict=True):
        owner.begin()
        claims.append(owner.pool.submit(_claim_and_commit, owner, order))
        eventually(lambda owner=owner: waits(third.conn, owner))  # type: ignore[misc]
    third.conn.execute("ROLLBACK")
    taken = [claim.result(10) for claim in claims]
    assert taken[0] | taken[1] == {left.id, middle.id, right.id}
    assert not taken[0] & taken[1]
    third.close()


def _claim_and_commit(owner: Owner, messages: list[Given]) -> set[UUID]:
    taken = owner.inbox.claim(messages)
    owner.conn.execute("COMMIT")
    return taken


def test_first_starts_at_once_agree_on_the_number(database: Database) -> None:
    def number(_: int) -> int:
        with Connection.connect(database.url, autocommit=True) as conn:
            return Inbox(conn, database.schema, "shipping").consumer_id

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(number, range(8)))) == 1


def test_an_id_twice_in_one_claim_is_taken_once(owners: tuple[Owner, Owner]) -> None:
    owner, _ = owners
    owner.begin()
    one, two = uuid4(), uuid4()
    assert owner.inbox.claim([Given(id_) for pair in permutations((one, two)) for id_ in pair]) == {one, two}
    assert owner.inbox.claim([]) == set()
    owner.conn.execute("COMMIT")
