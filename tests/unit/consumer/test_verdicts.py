"""What errors mean, what becomes of messages, and how careful the next batch is."""

from collections.abc import Callable
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import errors

from tests.unit.consumer.records import record
from txbox.consumer import Reject, Retry, TransactionLeft
from txbox.consumer.errors import Outage
from txbox.consumer.outcomes import Committed, Failed, Handled, Stopped
from txbox.consumer.policy import Dead, Reason, Waiting, fate
from txbox.consumer.received import Received, read
from txbox.consumer.troubles import Troubles
from txbox.consumer.verdicts import Verdict, judge


@pytest.mark.parametrize(
    ("error", "handling", "disconnected", "verdict"),
    [
        (ValueError(), True, False, Verdict.MESSAGE),
        (errors.UniqueViolation(), True, False, Verdict.MESSAGE),
        (errors.UniqueViolation(), False, False, Verdict.MESSAGE),  # a deferred constraint, at COMMIT
        (errors.DeadlockDetected(), True, False, Verdict.AGAIN),
        (errors.SerializationFailure(), True, False, Verdict.AGAIN),
        (errors.LockNotAvailable(), True, False, Verdict.AGAIN),
        (errors.QueryCanceled(), False, False, Verdict.AGAIN),  # it waited for somebody's ids
        (errors.QueryCanceled(), True, False, Verdict.MESSAGE),
        (errors.AdminShutdown(), True, True, Verdict.OUTAGE),
        (errors.DiskFull(), True, False, Verdict.OUTAGE),
        (errors.TooManyConnections(), False, False, Verdict.OUTAGE),
        (errors.ConnectionFailure(), True, True, Verdict.OUTAGE),
        (psycopg.OperationalError(), False, True, Verdict.OUTAGE),
        (psycopg.OperationalError(), True, True, Verdict.OUTAGE),
        (psycopg.InterfaceError(), True, True, Verdict.MESSAGE),  # the handler closed it
        (errors.IdleInTransactionSessionTimeout(), True, True, Verdict.MESSAGE),
        (TransactionLeft(["a"]), True, False, Verdict.LEFT),
    ],
    ids=repr,
)
def test_whose_fault_a_failure_is(error: Exception, handling: bool, disconnected: bool, verdict: Verdict) -> None:
    assert judge(error, handling=handling, disconnected=disconnected) is verdict


@given(st.integers(1, 40), st.integers(1, 20), st.floats(0.001, 1), st.floats(1, 100), st.floats(0, 1))
def test_a_message_waits_longer_each_time_and_is_dead_after_the_last(
    attempts: int, most: int, first: float, cap: float, spread: float
) -> None:
    met = fate(Retry(attempts=most, first=first, cap=cap), ValueError(), attempts, lambda: spread)
    if attempts >= most:
        assert met == Dead(Reason.ATTEMPTS)
    else:
        assert isinstance(met, Waiting)
        whole = min(cap, first * 2 ** (attempts - 1))
        assert whole / 2 <= met.delay <= whole


@pytest.mark.parametrize("error", [Reject("no such order"), KeyError("x")])
def test_what_no_other_try_makes_good_is_dead_at_once(error: Exception) -> None:
    assert fate(Retry(never=(LookupError,)), error, 1) == Dead(Reason.REJECTED)


def message(key: bytes | None = b"k") -> Received:
    found = read(record(key=key))
    assert isinstance(found, Received)
    return found


def failed(key: bytes | None) -> Failed:
    return Failed(message(key), ValueError(), Waiting(1.0), "hold")


def stopped(error: Exception, at: Received | None, *, verdict: Verdict = Verdict.MESSAGE) -> Stopped:
    return Stopped(error=error, verdict=verdict, at=at, disconnected=False)


@pytest.fixture
def now() -> list[float]:
    return [100.0]


@pytest.fixture
def troubles(now: list[float]) -> Troubles:
    return Troubles(lambda: now[0])


def test_a_message_that_failed_is_held_and_the_others_run_apart_once(troubles: Troubles) -> None:
    bad, error = message(), ValueError()
    troubles.stopped(stopped(error, bad), [bad.id, uuid4()])
    assert (troubles.blamed, troubles.apart) == ({bad.id: error}, True)
    troubles.committed(Committed(failed=[Failed(bad, error, Waiting(1.0), "hold")], ran=[bad]))
    assert (troubles.blamed, troubles.apart) == ({}, False)


def test_a_commit_that_fails_twice_is_sought_by_halves(troubles: Troubles) -> None:
    batch = [uuid4() for _ in range(5)]
    error = errors.UniqueViolation()
    sizes = []
    while not troubles.blamed:
        batch = batch[: troubles.most or 5]
        sizes.append((len(batch), troubles.apart))
        troubles.stopped(stopped(error, None), batch)
    assert sizes == [(5, False), (5, True), (3, True), (2, True), (1, True)]
    assert troubles.blamed == {batch[0]: error}


def test_what_cannot_be_held_either_is_tried_less_and_less_often(troubles: Troubles) -> None:
    bad = message()
    troubles.apart = True
    for n in range(3):
        assert troubles.again == n
        troubles.stopped(stopped(errors.InsufficientPrivilege(), None), [bad.id])


def test_what_is_in_the_way_five_times_in_a_row_is_to_blame(troubles: Troubles) -> None:
    bad, error = message(), errors.SerializationFailure()
    for _ in range(4):
        troubles.stopped(stopped(error, bad, verdict=Verdict.AGAIN), [bad.id])
        assert not troubles.blamed
    troubles.stopped(stopped(error, bad, verdict=Verdict.AGAIN), [bad.id])
    assert troubles.blamed == {bad.id: error}


def test_after_a_deadlock_turns_are_taken_for_a_minute(troubles: Troubles, now: list[float]) -> None:
    turns = [troubles.in_turn]
    troubles.stopped(stopped(errors.DeadlockDetected(), message(), verdict=Verdict.AGAIN), [])
    for later in (0, 59, 61):
        now[0] = 100.0 + later
        turns.append(troubles.in_turn)
    assert turns == [False, True, True, False]


def fare(troubles: Troubles, text: str, key: Callable[[int], bytes | None]) -> list[UUID]:
    """Handle messages one by one; `x` fails. Return the ids of those."""
    ids = []
    for n, letter in enumerate(text):
        if letter == "x":
            one = failed(key(n))
            ids.append(one.message.id)
            troubles.committed(Committed(failed=[one], ran=[one.message]))
        else:
            fine = message(key(n))
            troubles.committed(Committed(handled=[Handled(fine, 0.0)], ran=[fine]))
    return ids


@pytest.mark.parametrize(("bad", "outage"), [(30, False), (900, False), (1200, True)])
def test_how_many_failed_of_the_last_is_asked_in_the_order_in_which_they_ran(
    troubles: Troubles, bad: int, outage: bool
) -> None:
    """One in 66 of a large batch: no 50 of them in a row had more than one."""
    outcome = Committed()
    for n in range(2000):
        one = failed(str(n).encode())
        outcome.ran.append(one.message)
        if n * bad // 2000 != (n + 1) * bad // 2000:
            outcome.failed.append(one)
        else:
            outcome.handled.append(Handled(one.message, 0.0))
    assert len(outcome.failed) == bad
    troubles.committed(outcome)
    assert (troubles.outage is not None) is outage


def test_messages_that_are_rejected_are_no_outage(troubles: Troubles) -> None:
    for n in range(60):
        one = Failed(message(str(n).encode()), Reject(""), Dead(Reason.REJECTED), "hold")
        troubles.committed(Committed(failed=[one], ran=[one.message]))
    assert troubles.outage is None


def test_a_message_that_another_process_dealt_with_is_not_to_blame_any_more(troubles: Troubles) -> None:
    bad = message()
    troubles.stopped(stopped(ValueError(), bad), [bad.id])
    troubles.committed(Committed(duplicates=[bad]))
    assert not troubles.blamed


@pytest.mark.parametrize(
    ("text", "keys", "outage"),
    [
        ("x" * 20, 2, True),
        ("x" * 19, 19, False),
        ("x" * 40, 1, False),
        (".x" * 25, 25, False),
        ("." * 50 + "x" * 26, 50, True),
        ("." * 50 + "x" * 25, 50, False),
    ],
)
def test_it_is_an_outage_when_most_messages_of_several_keys_fail(
    troubles: Troubles, text: str, keys: int, outage: bool
) -> None:
    fare(troubles, text, lambda n: str(n % keys).encode())
    assert isinstance(troubles.outage, Outage) is outage


def test_messages_without_a_key_are_each_of_their_own(troubles: Troubles) -> None:
    ids = fare(troubles, "x" * 20, lambda _: None)
    assert troubles.over() == ids
    fare(troubles, "x" * 19, lambda _: None)
    assert troubles.outage is None, "it begins anew"


def test_two_bad_messages_that_are_tried_again_and_again_are_no_outage(troubles: Troubles) -> None:
    fare(troubles, "xx", lambda n: str(n).encode())
    for _ in range(40):
        troubles.retried(Committed(failed=[failed(b"0")]))
        troubles.retried(Committed(failed=[failed(b"1")]))
    assert troubles.outage is None


def test_only_what_failed_since_all_was_well_is_forgiven(troubles: Troubles) -> None:
    fare(troubles, "x" + "." * 60, lambda n: str(n).encode())
    ids = fare(troubles, "x" * 30, lambda n: str(n).encode())
    assert troubles.over() == ids
