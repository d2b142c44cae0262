"""A real Prometheus scrapes two relays and a consumer, with our rules; what it then knows is right."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.grafana.dashboard import FILE, named
from docs.metrics_page import every
from tests.integration.conftest import Publish
from tests.integration.running import Process, process
from tests.integration.watching.prometheus import DEPLOY, Prometheus, scraping
from tests.waiting import eventually
from txbox.daemon import Database, Kafka
from txbox.outbox import Message
from txbox.sandbox.servers import free_ports

#: counters with labels, which nothing has counted where all is well
SILENT = {"txbox_relay_failures_total", "txbox_relay_reconnects_total"}


@dataclass(frozen=True, slots=True)
class Scene:
    """What runs, and who watches it."""

    prometheus: Prometheus
    relays: dict[int, Process]


@pytest.fixture
def scene(
    database: Database, kafka: Kafka, topic: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Scene]:
    """Two relays, a consumer and a Prometheus."""
    monkeypatch.setenv("TXBOX_TEST_TOPIC", topic)
    servers = ("--database-url", database.url, "--bootstrap-servers", kafka.bootstrap_servers)
    first, second, consumer = free_ports(3)
    with ExitStack() as stack:
        relays = {
            port: stack.enter_context(
                process("txbox.cli", "relay", "run", *servers, "--http-port", str(port), "--poll-max", "500ms")
            )
            for port in (first, second)
        }
        app = "tests.integration.watching.billing:consumer"
        stack.enter_context(process("txbox.cli", "consume", app, *servers, "--http-port", str(consumer)))
        jobs = {"txbox-relay": (first, second), "txbox-billing": (consumer,)}
        rules = DEPLOY / "prometheus" / "txbox.rules.yml"
        yield Scene(stack.enter_context(scraping(tmp_path, jobs, rules)), relays)


def test_prometheus_knows_what_relays_and_consumers_do(scene: Scene, publish: Publish, topic: str):
    publish(*(Message("Placed", {"n": n}, topic=topic, key="k") for n in range(20)), Message("Wrong", topic=topic))
    expected = {
        f'sum(txbox_relay_published_total{{topic="{topic}"}})': 21,
        "sum(txbox_relay_leader)": 1,
        "count(txbox_relay_leader)": 2,
        "max(txbox_relay_epoch)": 1,
        "max(txbox_outbox_pending_messages)": 0,
        "max(txbox_outbox_oldest_pending_age_seconds)": 0,
        "sum(txbox_relay_delivery_latency_seconds_count)": 21,
        "sum(txbox_relay_batch_messages_sum)": 21,
        f'sum(txbox_consumer_messages_total{{consumer="{topic}", outcome="processed"}})': 20,
        'sum(txbox_consumer_messages_total{outcome="dead"})': 1,
        'max(txbox_consumer_held_messages{state="dead"})': 1,
        'sum(txbox_consumer_handler_seconds_count{type="Placed"})': 20,
        "sum(txbox_consumer_lag_messages)": 0,
        "max(txbox_consumer_lag_seconds)": 0,
        "sum(txbox_consumer_partitions)": 1,
        "min(txbox_check_ok)": 1,
        "count(count by (job) (txbox_build_info))": 2,
    }
    _becomes(lambda: {query: scene.prometheus.value(query) for query in expected}, expected)
    _every_series_is_on_the_page(scene.prometheus)
    _every_panel_shows_something(scene.prometheus, topic)
    _becomes(lambda: _active(scene.prometheus), {"TxboxMessagesDead"})
    _takeover_is_seen(scene)


def _becomes(look: Callable[[], object], expected: object) -> None:
    """Wait until `look` returns this; else fail with what it returned last."""
    seen: list[object] = []

    def probe() -> bool:
        seen[:] = [look()]
        return seen == [expected]

    try:
        eventually(probe, within=60, every=0.2)
    except AssertionError:
        assert seen == [expected]


def _every_series_is_on_the_page(prometheus: Prometheus) -> None:
    """Names and labels are those of docs/metrics.md, and none is missing."""
    seen = set()
    for series in prometheus.ask("series", **{"match[]": '{__name__=~"txbox_.*"}'}):
        if series["__name__"].endswith("_created"):
            continue
        [name] = named(series["__name__"])
        seen.add(name)
        assert set(series) - {"__name__", "job", "instance", "le"} == set(every()[name].labels), series
    assert every().keys() - seen == SILENT


def _every_panel_shows_something(prometheus: Prometheus, topic: str) -> None:
    """Each query of the dashboard is one that Prometheus understands, and has an answer."""
    board = json.loads(FILE.read_text())
    queries = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    chosen = {"$namespace": ".*", "$relay": "txbox-relay", "$consumer": topic, "$__rate_interval": "1m"}
    for query in queries:
        for variable, choice in chosen.items():
            query = query.replace(variable, choice)
        assert prometheus.series(query) or named(query) & SILENT, query


def _active(prometheus: Prometheus) -> set[str]:
    """The alerts that are pending or firing; every rule must have been reckoned without an error."""
    rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    assert {rule["health"] for rule in rules} <= {"ok", "unknown"}, rules
    return {rule["name"] for rule in rules if rule["state"] != "inactive"}


def _takeover_is_seen(scene: Scene) -> None:
    """SIGKILL the leader: the other one leads, and the rules miss the dead one."""
    leader = next(dict(labels) for labels, leads in scene.prometheus.series("txbox_relay_leader").items() if leads)
    scene.relays[int(leader["instance"].rpartition(":")[2])].kill()
    rest = f'txbox_relay_leader{{instance!="{leader["instance"]}"}}'
    _becomes(lambda: scene.prometheus.value(f"sum({rest})"), 1)
    _becomes(lambda: _active(scene.prometheus), {"TxboxMessagesDead", "TxboxTargetDown", "TxboxNoStandby"})
