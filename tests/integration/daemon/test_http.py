"""/metrics, /livez and /readyz over a real port."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from prometheus_client import CollectorRegistry, Counter

from txbox.daemon import Health, Http, PortTaken, serving


class Daemon(NamedTuple):
    """A daemon that only listens; its loop turns when the test says so."""

    port: int
    health: Health
    clock: list[float]

    def get(self, path: str) -> tuple[int, str, str]:
        """Status, content type and body."""
        try:
            with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.headers["Content-Type"], answer.read().decode()
        except HTTPError as answer:
            with answer:
                return answer.code, answer.headers["Content-Type"], answer.read().decode()

    def json(self, path: str) -> tuple[int, Any]:
        status, content_type, body = self.get(path)
        assert content_type == "application/json"
        return status, json.loads(body)


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    clock = [0.0]
    health = Health("database", "kafka", role="standby", clock=lambda: clock[0])
    registry = CollectorRegistry()
    Counter("things", "Things.", registry=registry).inc(3)
    with serving(Http(), health, registry) as port:
        assert port is not None
        yield Daemon(port, health, clock)


def test_metrics_are_in_the_text_format(daemon: Daemon) -> None:
    status, content_type, body = daemon.get("/metrics?name=x")
    assert (status, content_type.partition(";")[0]) == (200, "text/plain")
    assert "things_total 3.0" in body


def test_ready_only_when_every_check_is_well(daemon: Daemon) -> None:
    tried = {"ok": False, "why": "not tried yet"}
    assert daemon.json("/readyz") == (
        503,
        {"ready": False, "role": "standby", "checks": {"database": tried, "kafka": tried}},
    )
    daemon.health.set("database", True)
    assert daemon.json("/readyz")[0] == 503
    daemon.health.set("kafka", True, "as usual")
    daemon.health.role("leader")
    checks = {"database": {"ok": True, "why": ""}, "kafka": {"ok": True, "why": "as usual"}}
    assert daemon.json("/readyz") == (200, {"ready": True, "role": "leader", "checks": checks})
    daemon.health.set("kafka", False, "away")
    assert daemon.json("/readyz")[0] == 503


def test_live_as_long_as_the_loop_turns(daemon: Daemon) -> None:
    assert daemon.json("/livez") == (200, {"live": True})
    daemon.clock[0] = 61
    assert daemon.json("/livez") == (503, {"live": False})
    daemon.health.beat()
    assert daemon.json("/livez") == (200, {"live": True})


def test_other_paths_tell_the_right_ones(daemon: Daemon) -> None:
    status, _, body = daemon.get("/")
    assert status == 404
    assert "/metrics" in body


def test_a_port_that_is_taken_is_an_error_that_says_what_to_do(daemon: Daemon) -> None:
    with (
        pytest.raises(PortTaken, match="--http-port") as caught,
        serving(Http(port=daemon.port), daemon.health, CollectorRegistry()),
    ):
        pass
    assert (caught.value.host, caught.value.port) == ("127.0.0.1", daemon.port)


def test_a_port_is_free_again_afterwards() -> None:
    health, registry = Health(role="x"), CollectorRegistry()
    with serving(Http(), health, registry) as first:
        pass
    with serving(Http(port=first), health, registry) as again:
        assert again == first


def test_without_a_port_nothing_listens() -> None:
    with serving(Http(port=None), Health(role="x"), CollectorRegistry()) as port:
        assert port is None
