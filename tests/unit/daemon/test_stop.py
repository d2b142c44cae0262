"""Requests to stop, and waits that they end."""

import threading
import time

import pytest

from txbox.daemon import Stop


@pytest.mark.parametrize(
    ("requests", "requested", "now"), [(0, False, False), (1, True, False), (2, True, True), (9, True, True)]
)
def test_once_to_stop_and_twice_to_stop_now(requests: int, requested: bool, now: bool) -> None:
    stop = Stop()
    for _ in range(requests):
        stop.request()
    assert (stop.requested, stop.now) == (requested, now)


def test_a_wait_lasts_its_time_when_nothing_is_requested() -> None:
    began = time.monotonic()
    assert not Stop().wait(0.05)
    assert time.monotonic() - began >= 0.05


def test_a_request_ends_a_wait_that_is_under_way() -> None:
    stop = Stop()
    threading.Timer(0.05, stop.request).start()
    began = time.monotonic()
    assert stop.wait(30)
    assert time.monotonic() - began < 10


def test_after_a_request_no_wait_waits() -> None:
    stop = Stop()
    stop.request()
    began = time.monotonic()
    assert all(stop.wait(30) for _ in range(100))
    assert time.monotonic() - began < 10


def test_no_wait_is_no_error() -> None:
    assert not Stop().wait(0)
    assert not Stop().wait(-1)
