"""How far behind a consumer says that it is, in time."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from prometheus_client import CollectorRegistry

from tests.unit.consumer.records import record
from txbox.consumer.metrics import ConsumerMetrics
from txbox.consumer.outcomes import Committed, Handled
from txbox.consumer.received import Received


class Late:
    """A consumer's metrics at a time that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._registry = CollectorRegistry()
        self.metrics = ConsumerMetrics("billing", self._registry, clock=lambda: self.now)

    def behind(self, messages: int) -> None:
        self.metrics.lag([("orders", 0, messages)], 1)

    def handled(self, written: float, attempt: int = 1) -> None:
        self.metrics.committed(Committed(handled=[Handled(message(written, attempt), 0.001)]))

    @property
    def seconds(self) -> float | None:
        return self._registry.get_sample_value("txbox_consumer_lag_seconds", {"consumer": "billing"})


def message(written: float, attempt: int) -> Received:
    at = datetime.fromtimestamp(written, UTC)
    return Received(
        id=uuid4(),
        type="T",
        key=None,
        payload={},
        headers={},
        raw=b"{}",
        topic="orders",
        partition=0,
        offset=0,
        timestamp=at,
        attempt=attempt,
    )


@pytest.fixture
def late() -> Late:
    return Late()


def test_nothing_to_do_is_no_lag(late: Late):
    late.behind(0)
    late.handled(10.0)
    assert late.seconds == 0


def test_lag_is_the_age_of_the_last_message_while_there_are_more(late: Late):
    late.behind(500)
    late.handled(written=940.0)
    assert late.seconds == 60
    late.behind(0)
    assert late.seconds == 0


def test_first_message_after_a_quiet_night_is_not_late(late: Late):
    late.behind(1)
    late.handled(written=1000.0)
    late.behind(0)
    late.now += 36_000
    late.behind(1)
    assert late.seconds == 0


def test_consumer_that_never_handled_anything_is_late_all_the_same(late: Late):
    late.behind(1)
    late.now += 90
    assert late.seconds == 90, "and it rises without anybody noting it: the loop may be stuck"


def test_what_is_only_passed_over_is_no_delay(late: Late):
    late.behind(500)
    late.now += 60
    late.metrics.committed(Committed(skipped=[record(timestamp=1_055_000)]))
    assert late.seconds == 5


def test_message_that_was_held_for_hours_says_nothing_of_those_that_come(late: Late):
    late.behind(500)
    late.handled(written=999.0)
    late.handled(written=1.0, attempt=7)
    assert late.seconds == 1
