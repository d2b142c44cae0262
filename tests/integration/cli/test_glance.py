"""What people look at first: who leads, how far it is, what waits, what flows."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from click.testing import CliRunner

from tests.integration.conftest import Publish
from tests.integration.running import Process, process, repeating, running
from tests.waiting import eventually
from txbox.cli.main import txbox
from txbox.consumer import Consumer, Reject, Runner
from txbox.daemon import Database, Kafka
from txbox.outbox import Message
from txbox.relay import Relay

Run = Callable[..., str]

SECRET = "nobody-reads-this"


@pytest.fixture
def env(database: Database, kafka: Kafka) -> dict[str, str]:
    return {"TXBOX_DATABASE__URL": database.url, "TXBOX_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers}


@pytest.fixture
def run(env: dict[str, str]) -> Run:
    """What `txbox ...` prints: data and talk."""

    def invoke(*args: str) -> str:
        result = CliRunner().invoke(txbox, args, env=env)
        assert result.exit_code in (0, 3), result.output
        return result.output

    return invoke


@pytest.fixture
def relays(database: Database, kafka: Kafka) -> Iterator[None]:
    """Two of them."""
    with running(Relay(database, kafka)), running(Relay(database, kafka)):
        yield


@pytest.fixture
def tail(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Process]]:
    """`txbox outbox tail`, as processes."""
    monkeypatch.setenv("TXBOX_DATABASE__URL", database.url)
    with ExitStack() as stack:
        yield lambda *options: stack.enter_context(process("txbox.cli", "outbox", "tail", *options))


def status(run: Run) -> dict[str, Any]:
    return dict(json.loads(run("-q", "relay", "status", "-o", "json"))[0])


@pytest.mark.usefixtures("relays")
def test_relay_status_tells_who_leads_who_stands_by_and_how_far_it_is(run: Run, publish: Publish, topic: str):
    publish(*(Message("T", topic=topic) for _ in range(30)))
    eventually(lambda: "default" in run("-q", "relay", "status"))
    expected = {"leading": True, "standbys": 1, "tail": 30, "pending": 0, "gaps": 0, "held": 0, "per_second": 0.0}
    eventually(lambda: status(run).items() >= expected.items())
    shown = run("relay", "status").splitlines()
    assert shown[0].split()[:6] == ["relay", "leader", "standbys", "tail", "per_second", "pending"]
    assert shown[1].split()[0::2][:2] == ["default", "1"]
    assert len(shown) == 2, "nothing to say"
    assert max(map(len, shown)) <= 100


def test_relay_status_tells_a_rate_while_rows_flow(
    run: Run, publish: Publish, database: Database, kafka: Kafka, topic: str
):
    with running(Relay(database, kafka)), repeating(lambda: publish(Message("T", topic=topic)), 0.05):
        eventually(lambda: "default" in run("-q", "relay", "status"))
        eventually(lambda: status(run)["per_second"] > 0)
        assert "nobody stands by for default" in run("relay", "status")


def test_relay_status_tells_that_nobody_leads(run: Run, publish: Publish, relay_once: Callable[..., Relay], topic: str):
    relay_once()
    publish(Message("T", topic=topic))
    shown = run("relay", "status")
    assert "nobody" in shown.splitlines()[1]
    assert "messages wait and nobody leads relay default: txbox relay run" in shown


def test_consumers_list_tells_who_runs_how_far_behind_and_what_is_held(
    run: Run,
    publish: Publish,
    relay_once: Callable[..., Relay],
    database: Database,
    kafka: Kafka,
    topic: str,
):
    def stands() -> dict[str, Any]:
        return dict(json.loads(run("-q", "consumers", "list", "-o", "json"))["consumers"][0])

    consumer = Consumer(topic, topics=[topic])

    @consumer.handler()
    def refuse(conn: object, message: object) -> None:
        raise Reject("nobody wants it")

    publish(*(Message("T", topic=topic, key=str(n)) for n in range(2)))
    relay_once()
    expected = {"consumer": topic, "members": 1, "lag": 0, "waiting": 0, "dead": 2, "blocked_keys": 2}
    with running(Runner(consumer, database, kafka)):
        eventually(lambda: run("inbox", "stats").count(topic) == 1)  # else there is no consumer to be listed
        eventually(lambda: stands().items() >= expected.items())
    publish(Message("T", topic=topic))
    relay_once()
    eventually(lambda: stands().items() >= {"members": 0, "lag": 1}.items())
    shown = run("consumers", "list")
    assert f"no process of {topic} runs" in shown
    assert "oldest_held" in shown


def test_consumers_list_does_without_kafka(run: Run, conn: Any):
    conn.execute("INSERT INTO txbox.consumers (name) VALUES ('billing')")
    shown = run("consumers", "list", "--bootstrap-servers", "127.0.0.1:1")
    assert "billing" in shown
    assert "members and lag are unknown" in shown


def test_tail_follows_rows_to_kafka_and_never_tells_payloads(
    tail: Callable[..., Process], publish: Publish, relay_once: Callable[..., Relay], topic: str
):
    publish(Message("Old", {"secret": SECRET}, topic=topic))
    told, as_json, of_key = tail(), tail("-o", "json"), tail("--key", "k1")
    for one in (told, as_json):
        one.said("Old")
    publish(*(Message("Placed", {"secret": SECRET}, topic=topic, key=f"k{n}") for n in range(2)))
    told.said("written           3")
    relay_once()
    for one in (told, as_json, of_key):
        one.said("published")
    eventually(lambda: as_json.log.count('"state":"published"') == 3)
    assert {record["seq"] for record in map(json.loads, as_json.log.splitlines())} == {1, 2, 3}
    assert (SECRET in told.log + as_json.log, "k0" in of_key.log) == (False, False)
