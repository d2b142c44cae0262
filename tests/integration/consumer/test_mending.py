"""People retry and discard held messages: once, whole or not at all, and never in the way of a handler."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.integration.consumer.holding import Holding
from txbox.consumer.choosing import Choice, State
from txbox.consumer.mending import SETTINGS, Outcome, Told, discard, retry
from txbox.daemon import Database, connect

Conn = psycopg.Connection[Any]


def done(batches: Iterator[list[Told]]) -> dict[UUID, Outcome]:
    return {told.id: told.outcome for batch in batches for told in batch}


@contextmanager
def running(database: Database, *ids: UUID) -> Iterator[Conn]:
    """A consumer's process that is running these messages just now."""
    with psycopg.connect(database.url) as other:
        locked = other.execute(
            "SELECT FROM txbox.held_messages WHERE message_id = ANY(%s) FOR UPDATE SKIP LOCKED", (list(ids),)
        )
        assert locked.rowcount == len(ids)
        yield other


@pytest.mark.parametrize("blocks", [True, False], ids=["holds its key", "released"])
def test_a_dead_message_is_due_at_attempt_0_and_its_place_in_its_key_stays(
    conn: Conn, holding: Holding, blocks: bool
) -> None:
    id_ = holding.dead(blocks=blocks, reason="rejected")
    before = holding.everything()[0]
    assert done(retry(conn, Choice(ids=(id_,)))) == {id_: Outcome.DONE}
    [row] = holding.everything()
    changed = {"state": "waiting", "reason": "failed", "attempts": 0, "due_at": row["due_at"]}
    assert row == before | changed
    assert conn.execute("SELECT %s <= now()", (row["due_at"],)).fetchone() == (True,)
    assert holding.audit() == [("held retry", {"consumer": "billing", "chosen_by": {}, "messages": [str(id_)]})]


def test_who_did_it_stands_beside_what_was_done(conn: Conn, holding: Holding) -> None:
    holding.dead()
    done(retry(conn, Choice(consumer="billing")))
    row = conn.execute("SELECT who, at <= clock_timestamp() FROM txbox.audit").fetchone()
    assert row is not None
    assert "@" in row[0]
    assert row[0].endswith(f" as {conn.info.user}")
    assert row[1]


def test_a_message_that_waits_for_its_next_attempt_is_due_now_and_pressed_twice_is_once(
    conn: Conn, holding: Holding
) -> None:
    id_ = holding.head()
    assert done(retry(conn, Choice(ids=(id_,)))) == {id_: Outcome.DONE}
    after = holding.everything()
    assert (after[0]["attempts"], after[0]["state"]) == (0, "waiting")
    assert done(retry(conn, Choice(ids=(id_,)))) == {id_: Outcome.DUE}
    assert holding.everything() == after
    assert len(holding.audit()) == 1


def test_what_follows_another_is_not_retried_and_chosen_only_by_its_id(conn: Conn, holding: Holding) -> None:
    head, follower = holding.dead(), holding.follower()
    [[told]] = retry(conn, Choice(ids=(follower,)))
    assert (told.outcome, told.row["head"]) == (Outcome.FOLLOWS, head)
    assert done(retry(conn, Choice(consumer="billing"))) == {head: Outcome.DONE}
    assert holding.rows("message_id", "due_at IS NULL") == [(head, False), (follower, True)]


def test_a_follower_whose_head_is_gone_is_due_already(conn: Conn, holding: Holding) -> None:
    follower = holding.follower()
    assert done(retry(conn, Choice(ids=(follower,)))) == {follower: Outcome.DUE}
    assert holding.rows("due_at") == [(None,)]


def test_a_discarded_message_is_gone_and_those_behind_it_stay(conn: Conn, holding: Holding) -> None:
    head, follower = holding.dead(), holding.follower()
    assert done(discard(conn, Choice(ids=(head,)))) == {head: Outcome.DONE}
    assert holding.rows("message_id", "state", "due_at") == [(follower, "waiting", None)]
    assert holding.audit() == [("held discard", {"consumer": "billing", "chosen_by": {}, "messages": [str(head)]})]
    assert done(discard(conn, Choice(ids=(head,)))) == {}
    assert len(holding.audit()) == 1


def test_a_discard_of_many_takes_only_dead_ones_unless_it_says_so(conn: Conn, holding: Holding) -> None:
    ids = [holding.dead(), holding.follower(), holding.head(b"other")]
    assert done(discard(conn, Choice(consumer="billing"))) == {ids[0]: Outcome.DONE}
    assert done(discard(conn, Choice(consumer="billing", state=State.WAITING))) == dict.fromkeys(ids[1:], Outcome.DONE)
    assert holding.rows("n") == []


@pytest.mark.parametrize("change", [retry, discard])
def test_a_dry_run_tells_the_same_and_changes_nothing(conn: Conn, holding: Holding, change: Any) -> None:
    ids = (holding.dead(), holding.follower(), holding.head(None))
    before = holding.everything()
    told = done(change(conn, Choice(ids=ids), dry_run=True))
    assert holding.everything() == before
    assert holding.audit() == []
    assert done(change(conn, Choice(ids=ids))) == told


@pytest.mark.parametrize("change", [retry, discard])
def test_a_message_that_is_being_tried_is_left_and_told_and_nobody_waits_for_it(
    conn: Conn, database: Database, holding: Holding, change: Any
) -> None:
    ids = holding.dead(b"a"), holding.dead(b"b"), holding.dead(b"c")
    conn.execute("SET lock_timeout = '1s'")  # whoever waits is ended
    with running(database, ids[1]):
        assert done(change(conn, Choice(state=State.DEAD))) == {
            ids[0]: Outcome.DONE,
            ids[1]: Outcome.BUSY,
            ids[2]: Outcome.DONE,
        }
    assert (ids[1], "dead") in holding.rows("message_id", "state")
    assert holding.audit()[0][1]["messages"] == [str(ids[0]), str(ids[2])]


@pytest.mark.parametrize("change", [retry, discard])
def test_of_two_people_who_press_at_once_one_does_it(
    conn: Conn, database: Database, holding: Holding, change: Any
) -> None:
    both = Barrier(2)

    def press() -> list[UUID]:
        with connect(psycopg.Connection, database, "person", SETTINGS) as own:
            both.wait(20)
            return [id_ for id_, what in done(change(own, Choice(state=State.DEAD), most=7)).items() if what == "done"]

    for n in range(10):
        ids = {holding.dead(f"{n}/{key}".encode()) for key in range(50)}
        with ThreadPoolExecutor(2) as pool:
            one, other = pool.submit(press), pool.submit(press)
        assert not set(one.result()) & set(other.result())
        left = set(ids) - set(one.result()) - set(other.result())
        assert left == {id_ for id_, state in holding.rows("message_id", "state") if state == "dead"}
        done(change(conn, Choice(state=State.DEAD)))
    noted = [UUID(id_) for _, what in holding.audit() for id_ in what["messages"]]
    assert len(noted) == len(set(noted)) == 500


def test_what_is_not_what_was_chosen_any_more_is_left(conn: Conn, holding: Holding) -> None:
    ids = [holding.dead(f"{n}".encode()) for n in range(4)]
    batches = discard(conn, Choice(error="ValueError"), most=1)
    assert [told.id for told in next(batches)] == [ids[0]]
    conn.execute("UPDATE txbox.held_messages SET error = 'KeyError' WHERE message_id = %s", (ids[1],))
    done(retry(conn, Choice(ids=(ids[2],))))
    assert done(batches) == {ids[1]: Outcome.CHANGED, ids[2]: Outcome.CHANGED, ids[3]: Outcome.DONE}
    assert [id_ for (id_,) in holding.rows("message_id")] == ids[1:3]


def test_what_dies_after_it_began_is_not_its_business(conn: Conn, holding: Holding) -> None:
    first, second = holding.dead(b"a"), holding.dead(b"b")
    batches = discard(conn, Choice(state=State.DEAD), most=1)
    next(batches)
    third = holding.dead(b"c")
    assert list(done(batches)) == [second]
    assert holding.rows("message_id") == [(third,)]
    assert first != third


def test_broken_off_it_has_done_whole_batches_each_with_its_audit_row(
    conn: Conn, database: Database, holding: Holding
) -> None:
    ids = [holding.dead(f"{n}".encode()) for n in range(10)]
    batches = retry(conn, Choice(state=State.DEAD, topic="orders"), most=3)
    next(batches)
    next(batches)
    conn.execute("SET statement_timeout = 1")  # the third batch is broken off somewhere within
    with psycopg.connect(database.url) as other:
        other.execute("LOCK TABLE txbox.audit")
        with pytest.raises(psycopg.errors.QueryCanceled):
            next(batches)
    conn.execute("RESET statement_timeout")
    assert [state for (state,) in holding.rows("state")] == ["waiting"] * 6 + ["dead"] * 4
    assert [what["messages"] for _, what in holding.audit()] == [list(map(str, ids[:3])), list(map(str, ids[3:6]))]
    assert holding.audit()[0][1]["chosen_by"] == {"state": "dead", "topic": "orders"}


def test_each_consumer_has_its_own_row_of_a_message(conn: Conn, holding: Holding) -> None:
    id_ = holding.dead(None)
    holding.dead(None, id=id_, consumer="mail")
    done(discard(conn, Choice(ids=(id_,), consumer="mail")))
    assert holding.rows("state", "consumer_id") == [("dead", 1)]
    holding.dead(None, id=id_, consumer="mail")
    assert [told.consumer for batch in retry(conn, Choice(ids=(id_,))) for told in batch] == ["billing", "mail"]
    assert [what["consumer"] for _, what in holding.audit()] == ["mail", "billing", "mail"]


def test_it_is_refused_where_it_could_not_commit(database: Database) -> None:
    with psycopg.connect(database.url) as conn, pytest.raises(ValueError, match="autocommit"):
        next(retry(conn, Choice()))
