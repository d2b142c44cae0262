"""TLS and SASL to Kafka: what works, what is said when it does not, and that mending is enough."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection

from tests.integration.conftest import Publish
from tests.integration.running import running
from tests.integration.security.brokers import SecureBroker
from tests.integration.security.certificates import Authority
from tests.integration.security.conftest import PASSWORD
from tests.integration.topics import Topics
from tests.waiting import eventually
from txbox.consumer import Consumer, ConsumerConfig, Runner
from txbox.daemon import Database, Health, Kafka
from txbox.outbox import Message
from txbox.relay import Relay


@dataclass
class Way:
    """How a client reaches the broker: all files are its own, and may be replaced."""

    broker: SecureBroker
    authority: Authority
    stranger: Authority
    folder: Path
    port: int = 0
    client: dict[str, str] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ca, self.password, self.keys = (self.folder / name for name in ("trusted.pem", "password", "client.pem"))
        self.trust(self.authority)
        self.password.write_text(PASSWORD + "\n")

    def trust(self, authority: Authority) -> None:
        self.ca.write_bytes(authority.pem.read_bytes())

    def own(self, keys: Path) -> None:
        for kind in (".crt", ".key"):
            self.keys.with_suffix(kind).write_bytes(keys.with_suffix(kind).read_bytes())

    def tls(self) -> None:
        self.port = self.broker.tls

    def certificate(self) -> None:
        self.port = self.broker.mutual
        self.own(self.authority.issue("client", "relay"))
        self.client["ssl.certificate.location"] = str(self.keys.with_suffix(".crt"))
        self.client["ssl.key.location"] = str(self.keys.with_suffix(".key"))

    def user(self, mechanism: str = "SCRAM-SHA-512") -> None:
        self.port = self.broker.users
        self.client |= {"security.protocol": "SASL_SSL", "sasl.mechanism": mechanism, "sasl.username": "relay"}
        self.files["sasl.password"] = self.password

    @property
    def kafka(self) -> Kafka:
        secure = {"security.protocol": "SSL", "ssl.ca.location": str(self.ca)}
        return Kafka(
            bootstrap_servers=f"127.0.0.1:{self.port}", client={**secure, **self.client}, files=dict(self.files)
        )


@pytest.fixture
def way(broker: SecureBroker, authority: Authority, stranger: Authority, tmp_path: Path) -> Way:
    return Way(broker, authority, stranger, tmp_path)


class Round:
    """A relay and a consumer that go the same way."""

    def __init__(self, way: Way, database: Database, publish: Publish, topic: str) -> None:
        consumer, self._got = Consumer(topic, topics=[topic]), list[str]()
        consumer.handler("T")(lambda _, message: self._got.append(str(message.id)))
        self.relay = Relay(database, way.kafka)
        self.runner = Runner(consumer, database, way.kafka, ConsumerConfig())
        self._publish, self._topic = publish, topic

    def goes(self) -> None:
        """A message is published and handled."""
        [id_] = self._publish(Message("T", topic=self._topic))
        eventually(lambda: str(id_) in self._got, within=60)

    def says(self, words: list[str]) -> None:
        """Both daemons are not ready, and /readyz tells these words."""
        for health in (self.relay.health, self.runner.health):
            eventually(lambda health=health: _has(words, health), within=60)
            assert "hunter2" not in str(health.report())

    @contextmanager
    def running(self) -> Iterator[None]:
        with running(self.relay), running(self.runner):
            yield


def _has(words: list[str], health: Health) -> bool:
    check = health.report().checks["kafka"]
    return not check.ok and all(word.lower() in check.why.lower() for word in words)


@pytest.fixture
def round_(way: Way, database: Database, publish: Publish, topics: Topics) -> Callable[[], Round]:
    return lambda: Round(way, database, publish, topics.make())


@pytest.mark.parametrize(
    ("how", "given"),
    [
        (Way.tls, ()),
        (Way.certificate, ()),
        (Way.user, ("PLAIN",)),
        (Way.user, ("SCRAM-SHA-256",)),
        (Way.user, ("SCRAM-SHA-512",)),
    ],
    ids=["tls", "certificate", "plain", "scram-sha-256", "scram-sha-512"],
)
def test_messages_go_round(way: Way, round_: Callable[[], Round], how: Callable[..., None], given: Any) -> None:
    how(way, *given)
    both = round_()
    [id_] = both._publish(Message("T", topic=both._topic))
    both.relay.run(once=True)
    both.runner.run(once=True)
    assert both._got == [str(id_)]


def expired(way: Way) -> Callable[[], None]:
    way.tls()
    way.broker.show(way.authority.issue("expired", "localhost", "127.0.0.1", expired=True))
    return lambda: way.broker.show(way.authority.issue("renewed", "localhost", "127.0.0.1"))


def wrong_host(way: Way) -> Callable[[], None]:
    way.tls()
    way.broker.show(way.authority.issue("elsewhere", "kafka.example"))
    return lambda: way.broker.show(way.authority.issue("here", "localhost", "127.0.0.1"))


def wrong_authority(way: Way) -> Callable[[], None]:
    way.tls()
    way.trust(way.stranger)
    return lambda: way.trust(way.authority)


def expired_certificate(way: Way) -> Callable[[], None]:
    way.certificate()
    way.own(way.authority.issue("old", "relay", expired=True))
    return lambda: way.own(way.authority.issue("new", "relay"))


def wrong_password(way: Way) -> Callable[[], None]:
    way.user("SCRAM-SHA-256")
    way.password.write_text("hunter2-wrong")
    return lambda: (way.password.write_text(PASSWORD), None)[1]


BROKEN: list[tuple[Callable[[Way], Callable[[], None]], list[str]]] = [
    (expired, ["certificate has expired", "renew it"]),
    (wrong_host, ["not valid for '127.0.0.1'", "call the server by a name"]),
    (wrong_authority, ["trusted.pem", "must have the authority that signed it"]),
    (expired_certificate, ["client.crt", "has not expired"]),
    (wrong_password, ["user 'relay'", "SCRAM-SHA-256", "sasl.password"]),
]


@pytest.mark.parametrize(("breaks", "told"), BROKEN, ids=[breaks.__name__ for breaks, _ in BROKEN])
def test_what_is_wrong_is_named_with_its_mend_and_mending_is_enough(
    way: Way, round_: Callable[[], Round], breaks: Callable[[Way], Callable[[], None]], told: list[str]
) -> None:
    mend = breaks(way)
    both = round_()
    with both.running():
        both.says(told)
        mend()
        both.goes()


def test_a_password_that_is_rotated_under_way_is_read_anew(way: Way, round_: Callable[[], Round]) -> None:
    way.user()
    both = round_()
    with both.running():
        both.goes()
        way.broker.set_password("hunter2-new")  # the broker asks for it again every 1.5 s
        both.says(["user 'relay'", "sasl.password"])
        way.password.write_text("hunter2-new")
        both.goes()


def tls_to_a_plain_port(way: Way) -> None:
    way.port = int(way.broker.bootstrap_servers.rpartition(":")[2])


def no_tls_to_a_port_that_has_it(way: Way) -> None:
    way.tls()
    way.client["security.protocol"] = "PLAINTEXT"


def no_certificate(way: Way) -> None:
    way.port = way.broker.mutual


@pytest.mark.parametrize(
    ("breaks", "told"),
    [
        (tls_to_a_plain_port, "security.protocol to PLAINTEXT"),
        (no_tls_to_a_port_that_has_it, "security.protocol to SSL"),
        (no_certificate, "there is none"),
    ],
)
def test_settings_that_do_not_fit_the_broker_are_named(
    way: Way, round_: Callable[[], Round], conn: Connection, breaks: Callable[[Way], None], told: str
) -> None:
    breaks(way)
    both = round_()
    with both.running():
        both.says([told])
