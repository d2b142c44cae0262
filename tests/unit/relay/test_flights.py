"""How far everything has arrived."""

from typing import Any

import pytest

from tests.unit.relay.rows import TIMED_OUT, Delivered, frontier_at, row
from txbox.relay.batch import Room
from txbox.relay.flights import Flight, Flights

ACKED: Any = Delivered()


@pytest.fixture
def flights() -> Flights:
    return Flights(Room(100, 1000))


def depart(flights: Flights, tail: int, rows: int = 1) -> Flight:
    return flights.depart([row(seq) for seq in range(tail - rows, tail)], frontier_at(tail))


def landed(flights: Flights) -> list[int]:
    return [flight.frontier.tail for flight in flights.landed()]


def test_batch_has_arrived_when_each_of_its_messages_is_acked(flights: Flights):
    flight = depart(flights, 2, rows=2)
    flight.delivered("id", None, ACKED)
    assert landed(flights) == []
    flight.delivered("id", None, ACKED)
    assert landed(flights) == [2]


def test_batch_waits_for_those_before_it(flights: Flights):
    first, second = depart(flights, 1), depart(flights, 2)
    second.delivered("id", None, ACKED)
    assert landed(flights) == []
    first.delivered("id", None, ACKED)
    assert landed(flights) == [1, 2]


def test_batch_without_rows_carries_its_cursor_behind_those_before_it(flights: Flights):
    first = depart(flights, 1)
    depart(flights, 2, rows=0)
    assert landed(flights) == []
    first.delivered("id", None, ACKED)
    assert landed(flights) == [1, 2]


def test_message_that_failed_keeps_its_batch_and_all_after_it_from_arriving(flights: Flights):
    first, second = depart(flights, 2, rows=2), depart(flights, 3)
    first.delivered("id", None, ACKED)
    first.delivered("id", TIMED_OUT, ACKED)
    second.delivered("id", None, ACKED)
    assert landed(flights) == []


def test_first_failure_is_the_one_that_is_told(flights: Flights):
    flight = depart(flights, 2, rows=2)
    for message_id in ("first", "second"):
        flight.delivered(message_id, TIMED_OUT, ACKED)
    assert flights.failure is not None
    assert (flights.failure.message_id, flights.failure.topic) == ("first", "orders")


def test_room_is_taken_until_all_before_have_arrived(flights: Flights):
    first, second = depart(flights, 3, rows=3), depart(flights, 5, rows=2)
    for _ in range(2):
        second.delivered("id", None, ACKED)
    assert landed(flights) == []
    assert flights.room == Room(95, 1000 - 5 * 5)
    for _ in range(3):
        first.delivered("id", None, ACKED)
    assert landed(flights) == [3, 5]
    assert flights.room == Room(100, 1000)
    assert flights.messages == 0
