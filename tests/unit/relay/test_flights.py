"""How far everything has arrived."""

from collections.abc import Sequence
from typing import Any

import pytest
from confluent_kafka import KafkaError

from tests.unit.relay.rows import TIMED_OUT, Delivered, frontier_at, row
from txbox.relay.batch import Room, Row
from txbox.relay.flights import Failure, Flight, Flights

ACKED: Any = Delivered()
INVALID = KafkaError(KafkaError.INVALID_RECORD)


@pytest.fixture
def flights() -> Flights:
    return Flights(Room(100, 1000))


def depart(flights: Flights, tail: int, rows: int = 1) -> Flight:
    return flights.depart([row(seq) for seq in range(tail - rows, tail)], frontier_at(tail))


def landed(flights: Flights) -> list[int]:
    return [flight.frontier.tail for flight in flights.landed()]


def test_batch_has_arrived_when_each_of_its_messages_is_acked(flights: Flights):
    flight = depart(flights, 2, rows=2)
    flight.delivered(None, ACKED)
    assert landed(flights) == []
    flight.delivered(None, ACKED)
    assert landed(flights) == [2]


def test_batch_waits_for_those_before_it(flights: Flights):
    first, second = depart(flights, 1), depart(flights, 2)
    second.delivered(None, ACKED)
    assert landed(flights) == []
    first.delivered(None, ACKED)
    assert landed(flights) == [1, 2]


def test_batch_without_rows_carries_its_cursor_behind_those_before_it(flights: Flights):
    first = depart(flights, 1)
    depart(flights, 2, rows=0)
    assert landed(flights) == []
    first.delivered(None, ACKED)
    assert landed(flights) == [1, 2]


def test_message_that_failed_keeps_its_batch_and_all_after_it_from_arriving(flights: Flights):
    first, second = depart(flights, 2, rows=2), depart(flights, 3)
    first.delivered(None, ACKED)
    first.delivered(TIMED_OUT, ACKED)
    second.delivered(None, ACKED)
    assert landed(flights) == []


def fail(flights: Flights, rows: Sequence[Row], *failed: object, error: KafkaError = TIMED_OUT) -> Failure:
    """Let messages of one batch fail; return what is told of it."""
    flight = flights.depart(rows, frontier_at(len(rows)))
    for message in failed:
        flight.delivered(error, message)  # type: ignore[arg-type]
    assert flights.failure is not None
    return flights.failure


def test_first_failure_is_the_one_that_is_told(flights: Flights):
    first, second = row(1, created=1), row(2, created=2)
    assert fail(flights, [first, second], Delivered(first), Delivered(second)) == Failure(["id-1"], "orders", TIMED_OUT)


def test_message_that_failed_is_known_by_what_its_report_brings(flights: Flights):
    rows = [row(1, topic="a", created=7), row(2, topic="b", created=7), row(3, created=8)._replace(key=None)]
    for one in rows:
        assert fail(Flights(Room(9, 999)), rows, Delivered(one)).message_ids == [one.id]
    assert fail(flights, rows, Delivered(rows[2]), error=INVALID).message_ids == ["id-3"]
    assert flights.refused == {"id-3"}


def test_all_that_may_have_failed_are_suspects(flights: Flights):
    """Those alike; or the whole batch, of a message that came no further than librdkafka, or that is none of these."""
    alike = [row(1, created=7), row(2, created=7), row(3, created=8)]
    assert fail(Flights(Room(9, 999)), alike, Delivered(alike[1])).message_ids == ["id-1", "id-2"]
    assert fail(Flights(Room(9, 999)), alike, Delivered(row(4, created=9))).message_ids == ["id-1", "id-2", "id-3"]
    fail(flights, alike, None, error=INVALID)
    assert flights.refused == {"id-1", "id-2", "id-3"}


def test_a_refusal_of_librdkafkas_own_names_the_topic_too(flights: Flights):
    assert fail(flights, [row(1, topic="payments")], None, error=INVALID).topic == "payments"


def test_a_batch_that_fails_as_a_whole_is_gone_through_once(flights: Flights):
    """A producer that is closed fails all that is under way: a hundred thousand messages, in batches of thousands."""

    class Key(str):
        looks = 0

        def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
            Key.looks += 1
            return super().encode(encoding, errors)

    rows = [row(seq, created=seq)._replace(key=Key("key")) for seq in range(10)]
    reports = [Delivered(row(seq, created=seq)._replace(key="key")) for seq in range(10)]
    fail(flights, rows, *reports, error=INVALID)
    assert Key.looks == 10
    assert flights.refused == {one.id for one in rows}


def test_room_is_taken_until_all_before_have_arrived(flights: Flights):
    first, second = depart(flights, 3, rows=3), depart(flights, 5, rows=2)
    for _ in range(2):
        second.delivered(None, ACKED)
    assert landed(flights) == []
    assert flights.room == Room(95, 1000 - 5 * 5)
    for _ in range(3):
        first.delivered(None, ACKED)
    assert landed(flights) == [3, 5]
    assert flights.room == Room(100, 1000)
    assert flights.messages == 0
