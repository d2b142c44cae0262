"""Everything that people and services do, each as a user who is a member of one role and of no other."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result
from psycopg import Connection

from tests.integration.consumer.holding import Holding
from tests.integration.running import running
from tests.integration.schema.roles import users
from tests.integration.topics import Topics
from tests.waiting import eventually
from txbox.cli.main import txbox
from txbox.consumer import Consumer, ConsumerConfig, Received, Reject, Runner
from txbox.daemon import Database, Kafka
from txbox.outbox import Message, Outbox
from txbox.relay import Relay, RelayConfig

#: `txbox ...` as a member of a role
RunAs = Callable[..., Result]

#: what each role may ask for
LOOKS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "txbox_viewer": (
        ("db", "status"),
        ("relay", "status"),
        ("outbox", "stats"),
        ("outbox", "held"),
        ("consumers", "list"),
        ("inbox", "stats"),
        ("held", "list"),
    ),
    "txbox_relay": (("db", "status"), ("relay", "status"), ("outbox", "stats"), ("outbox", "list"), ("outbox", "held")),
    "txbox_consumer": (("consumers", "list"), ("inbox", "stats"), ("held", "list"), ("held", "export")),
}


@pytest.fixture
def urls(conn: Connection) -> Iterator[Mapping[str, str]]:
    """A user for each role, by role."""
    with users(conn) as urls:
        yield urls


@pytest.fixture
def run_as(urls: Mapping[str, str], kafka: Kafka) -> RunAs:
    """Run `txbox -o json ...` as a member of a role."""

    def run(role: str, *args: str) -> Result:
        env = {"TXBOX_DATABASE__URL": urls[role], "TXBOX_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers}
        return CliRunner().invoke(txbox, ["-o", "json", *args], env=env)

    return run


def data(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_message_goes_its_way_and_is_mended_by_people(
    urls: Mapping[str, str], conn: Connection, kafka: Kafka, topics: Topics, txbox_topic: str, run_as: RunAs
) -> None:
    conn.execute("CREATE TABLE charges (n int); GRANT INSERT ON charges TO PUBLIC")
    orders, small = topics.make(), topics.make(".small", max_message_bytes="2000")
    consumer = Consumer(txbox_topic, topics=[orders])
    mended = False

    @consumer.handler("Placed")
    def charge(conn: Connection, message: Received) -> None:
        placed: Any = message.payload
        if placed["n"] == 2 and not mended:
            raise Reject("no")
        conn.execute("INSERT INTO charges VALUES (%s)", (placed["n"],))

    def charged() -> list[int]:
        return [n for (n,) in conn.execute("SELECT n FROM charges ORDER BY n").fetchall()]

    relay = Relay(Database(url=urls["txbox_relay"]), kafka, RelayConfig(on_undeliverable="hold", retention=1e-3))
    runner = Runner(consumer, Database(url=urls["txbox_consumer"]), kafka, ConsumerConfig())
    with running(relay), running(runner):
        with psycopg.connect(urls["txbox_writer"]) as writer:
            outbox = Outbox(lock_keys=True)
            outbox.add_many(writer, [Message("Placed", {"n": n}, topic=orders, key=f"k{n % 2}") for n in range(4)])
            large = outbox.add(writer, Message("Placed", {"text": "x" * 3000}, topic=small, key="large"))
            skipped = outbox.add(writer, Message("Placed", {"text": "x" * 3000}, topic=small, key="skipped"))
        # 0 comes before what is rejected and 2 in the key k0; k1 has 1 and 3.
        eventually(lambda: charged() == [0, 1, 3])
        [dead] = eventually(lambda: data(run_as("txbox_viewer", "held", "list", "--state", "dead")))
        assert (dead["reason"], dead["payload_bytes"]) == ("rejected", None)
        mended = True
        assert data(run_as("txbox_consumer", "held", "retry", dead["id"]))
        eventually(lambda: charged() == [0, 1, 2, 3])

        eventually(lambda: len(data(run_as("txbox_viewer", "outbox", "held"))) == 2)
        topics.configure(small, "max.message.bytes", "100000")
        assert data(run_as("txbox_relay", "outbox", "retry", str(large)))
        assert data(run_as("txbox_relay", "outbox", "skip", str(skipped)))
        eventually(lambda: topics.ids(small) == [str(large)], within=40)
        # Pruned by the relay itself.
        eventually(lambda: data(run_as("txbox_viewer", "outbox", "stats"))["first_seq"] is None, within=60)
    commands = conn.execute("SELECT command FROM txbox.audit ORDER BY command").fetchall()
    assert commands == [("held retry",), ("outbox retry",), ("outbox skip",)]
    assert data(run_as("txbox_consumer", "inbox", "prune", "--older-than", "0"))["pruned"] == 4


@pytest.mark.parametrize("role", LOOKS)
def test_a_role_may_look_at_what_is_its_part(run_as: RunAs, role: str) -> None:
    unhealthy = 3  # no relay has ever run here
    for command in LOOKS[role]:
        result = run_as(role, *command)
        assert result.exit_code in (0, unhealthy), (command, result.output)
        assert "denied" not in result.output


@pytest.mark.parametrize(
    ("role", "command"),
    [
        ("txbox_viewer", ("outbox", "list")),
        ("txbox_viewer", ("held", "export")),
        ("txbox_viewer", ("held", "retry", "--reason", "attempts")),
        ("txbox_viewer", ("outbox", "prune", "--older-than", "1s")),
        ("txbox_consumer", ("outbox", "retry", "1")),
        ("txbox_relay", ("held", "list")),
        ("txbox_writer", ("relay", "status")),
        ("txbox_relay", ("db", "roles", "--apply")),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_who_may_not_is_told_where_it_stands(
    run_as: RunAs, conn: Connection, role: str, command: tuple[str, ...]
) -> None:
    Holding(conn).dead()
    result = run_as(role, *command)
    assert result.exit_code == 1, result.output
    assert "txbox db roles" in result.output
