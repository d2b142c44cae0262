"""What a scrape sees."""

import time

import pytest
from prometheus_client import CollectorRegistry

from tests.unit.relay.rows import frontier_at, row
from txbox.relay.batch import Room
from txbox.relay.flights import Flights
from txbox.relay.metrics import RelayMetrics

GAP_AGE = "txbox_relay_oldest_gap_age_seconds"
PENDING_AGE = "txbox_outbox_oldest_pending_age_seconds"
LATENCY = "txbox_relay_delivery_latency_seconds"


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> RelayMetrics:
    return RelayMetrics(registry)


def value(registry: CollectorRegistry, name: str, **labels: str) -> float:
    found = registry.get_sample_value(name, labels)
    assert found is not None, name
    return found


def test_age_of_the_oldest_gap_rises_without_anybody_noting_it(registry: CollectorRegistry, metrics: RelayMetrics):
    metrics.gap(7)
    first = value(registry, GAP_AGE)
    assert 0 <= first < value(registry, GAP_AGE) < 60


def test_same_gap_noted_again_goes_on_ageing(registry: CollectorRegistry, metrics: RelayMetrics):
    metrics.gap(7)
    before = value(registry, GAP_AGE)
    metrics.gap(7)
    assert value(registry, GAP_AGE) > before


def test_no_gap_has_no_age(registry: CollectorRegistry, metrics: RelayMetrics):
    metrics.gap(7)
    metrics.gap(None)
    assert value(registry, GAP_AGE) == 0


def test_pending_rows_age_from_when_the_oldest_was_written(registry: CollectorRegistry, metrics: RelayMetrics):
    metrics.outlook(3, time.time() - 100)
    assert value(registry, "txbox_outbox_pending_messages") == 3
    assert value(registry, PENDING_AGE) == pytest.approx(100, abs=30)
    metrics.outlook(0, None)
    assert value(registry, PENDING_AGE) == 0


def test_standby_forgets_what_it_knew_as_the_leader(registry: CollectorRegistry, metrics: RelayMetrics):
    metrics.outlook(3, time.time() - 100)
    metrics.gap(7)
    metrics.held.set(2)
    metrics.stand_by()
    names = ("txbox_outbox_pending_messages", PENDING_AGE, GAP_AGE, "txbox_outbox_held_messages")
    assert [value(registry, name) for name in names] == [0, 0, 0, 0]


def test_batch_that_landed_is_counted_by_topic_with_its_latencies(registry: CollectorRegistry, metrics: RelayMetrics):
    rows = [row(1, topic="a", created=9_000), row(2, topic="a", created=9_985), row(3, topic="b", created=10_500)]
    metrics.landed(Flights(Room(10, 1000)).depart(rows, frontier_at(3)), now=10.0)
    assert value(registry, "txbox_relay_published_total", topic="a") == 2
    assert value(registry, f"{LATENCY}_bucket", topic="a", le="0.02") == 1
    assert value(registry, f"{LATENCY}_bucket", topic="a", le="+Inf") == 2
    assert value(registry, f"{LATENCY}_sum", topic="a") == pytest.approx(1.015)


def test_row_from_a_clock_ahead_of_ours_has_no_latency(registry: CollectorRegistry, metrics: RelayMetrics):
    metrics.landed(Flights(Room(10, 1000)).depart([row(created=11_000)], frontier_at(1)), now=10.0)
    assert value(registry, f"{LATENCY}_sum", topic="orders") == 0
