"""A new replica is started, the old one is told to end: what a rolling update does."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection

import pytest

from tests.integration.relay.traffic import Traffic
from tests.integration.running import Process, process, repeating, running
from tests.integration.topics import Topics
from tests.waiting import eventually
from txbox.daemon import Database, Kafka
from txbox.relay import Relay
from txbox.relay.ledger import Ledger
from txbox.sandbox.servers import free_ports

#: seconds between looks at /readyz
EVERY = 0.05


@dataclass
class Replica:
    """`txbox relay run`, and what its /readyz has said."""

    process: Process
    port: int
    #: (when it was asked, when it had answered, HTTP status, role)
    answers: list[tuple[float, float, int, str]] = field(default_factory=list)

    def ask(self) -> str | None:
        """Ask /readyz; note and return the role, None if nobody answers."""
        began = time.monotonic()
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", "/readyz")
            answer = connection.getresponse()
            role = str(json.loads(answer.read())["role"])
        except OSError:
            return None
        finally:
            connection.close()
        self.answers.append((began, time.monotonic(), answer.status, role))
        return role

    def ready(self) -> bool:
        return self.ask() is not None and self.answers[-1][2] == 200


@contextmanager
def replica(database: Database, kafka: Kafka) -> Iterator[Replica]:
    [port] = free_ports(1)
    servers = ("--database-url", database.url, "--bootstrap-servers", kafka.bootstrap_servers)
    with process("txbox.cli", "relay", "run", *servers, "--http-port", str(port), "--log-format", "json") as one:
        yield Replica(one, port)


def never_both_lead(old: Replica, new: Replica) -> bool:
    """Whether the old one never said so in answer to a question that was asked after the new one had said so."""
    last = max(asked for asked, _, _, role in old.answers if role == "leader")
    first = min(answered for _, answered, _, role in new.answers if role == "leader")
    return last < first


def always_ready(one: Replica) -> bool:
    """Whether it stayed ready once it was."""
    statuses = [status for _, _, status, _ in one.answers]
    return set(statuses[statuses.index(200) :]) == {200}


def test_a_rollout_repeats_nothing_and_two_never_lead(
    database: Database, kafka: Kafka, topics: Topics, topic: str
) -> None:
    traffic = Traffic(database, topics, topic)
    with replica(database, kafka) as old:
        eventually(lambda: old.ready() and old.answers[-1][3] == "leader")
        with replica(database, kafka) as new:
            eventually(new.ready)
            assert new.answers[-1][3] == "standby"
            with repeating(lambda: traffic.write(1), 0.005), repeating(old.ask, EVERY), repeating(new.ask, EVERY):
                eventually(lambda: traffic.one("SELECT tail > 50 FROM txbox.relay_cursor"))
                began = time.monotonic()
                assert old.process.terminate() == 0
                ended = time.monotonic()
                eventually(lambda: new.answers[-1][3] == "leader", every=0.001)
                led = time.monotonic()
                eventually(lambda: len(new.answers) > 20)
            assert never_both_lead(old, new)
            assert always_ready(old)
            assert always_ready(new)
            traffic.settle()
            assert traffic.judge() == 0
            print(f"told to end, ended after {ended - began:.2f} s, the next one led after {led - began:.2f} s")
            assert led - began < 5


def test_the_role_is_given_up_before_the_lead(
    database: Database, kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay = Relay(database, kafka)
    roles = []
    close = Ledger.close

    def spy(ledger: Ledger) -> None:
        roles.append(relay.health.report().role)
        close(ledger)

    monkeypatch.setattr(Ledger, "close", spy)
    with running(relay):
        eventually(lambda: relay.health.report().role == "leader")
    assert roles == ["standby"], "another one could lead, and this one would still say that it does"
