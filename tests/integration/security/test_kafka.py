"""TLS and SASL to Kafka: what works, what is said when it does not, and that mending is enough."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from tests.integration.conftest import Publish
from tests.integration.running import running
from tests.integration.security.brokers import SecureBroker
from tests.integration.security.certificates import Authority
from tests.integration.security.conftest import PASSWORD
from tests.integration.topics import Topics
from tests.waiting import eventually
from txbox.consumer import Consumer, ConsumerConfig, Runner, report
from txbox.daemon import Database, Health, Kafka
from txbox.daemon.kafka import told
from txbox.doctor.cluster import brokers
from txbox.outbox import Message
from txbox.relay import Relay, RelayConfig


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
def ways(broker: SecureBroker, authority: Authority, stranger: Authority, tmp_path: Path) -> Callable[[], Way]:
    numbers = count()

    def way() -> Way:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        return Way(broker, authority, stranger, folder)

    return way


@pytest.fixture
def way(ways: Callable[[], Way]) -> Way:
    return ways()


class Round:
    """A relay and a consumer that go the same way."""

    def __init__(self, way: Way, database: Database, publish: Publish, topic: str) -> None:
        consumer, self._got = Consumer(topic, topics=[topic]), list[str]()
        consumer.handler("T")(lambda _, message: self._got.append(str(message.id)))
        # Each relay of a name of its own publishes everything: several may run at once.
        self.relay = Relay(database, way.kafka, RelayConfig(name=topic))
        self.runner = Runner(consumer, database, way.kafka, ConsumerConfig())
        self._publish, self._topic = publish, topic

    def goes(self) -> None:
        """A message is published and handled."""
        [id_] = self._publish(Message("T", topic=self._topic))
        eventually(lambda: str(id_) in self._got, within=60)

    def says(self, *words: str) -> None:
        """Both daemons are not ready, and /readyz tells these words."""
        for health in (self.relay.health, self.runner.health):
            eventually(partial(_has, words, health), within=60)
            assert "hunter2" not in str(health.report())

    @contextmanager
    def running(self) -> Iterator[None]:
        with running(self.relay), running(self.runner):
            yield


def _has(words: Sequence[str], health: Health) -> bool:
    check = health.report().checks["kafka"]
    return not check.ok and all(word.lower() in check.why.lower() for word in words)


@pytest.fixture
def round_(database: Database, publish: Publish, topics: Topics) -> Callable[[Way], Round]:
    numbers = count()
    return lambda way: Round(way, database, publish, topics.make(f"-{next(numbers)}"))


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
def test_messages_go_round(way: Way, round_: Callable[[Way], Round], how: Callable[..., None], given: Any) -> None:
    how(way, *given)
    both = round_(way)
    [id_] = both._publish(Message("T", topic=both._topic))
    both.relay.run(once=True)
    both.runner.run(once=True)
    assert both._got == [str(id_)]


def test_a_certificate_of_the_brokers_that_will_not_do_is_told_and_renewing_it_is_enough(
    way: Way, round_: Callable[[Way], Round]
) -> None:
    way.tls()
    way.broker.show(way.authority.issue("expired", "localhost", "127.0.0.1", expired=True))
    both = round_(way)
    with both.running():
        both.says("certificate has expired", "renew it")
        way.broker.show(way.authority.issue("elsewhere", "kafka.example"))
        both.says("not valid for '127.0.0.1'", "call the server by a name")
        way.broker.show(way.authority.issue("renewed", "localhost", "127.0.0.1"))
        both.goes()


def test_what_is_ours_and_wrong_is_told_and_mending_its_file_is_enough(
    ways: Callable[[], Way], round_: Callable[[Way], Round]
) -> None:
    trusting, certified, named = ways(), ways(), ways()
    trusting.tls()
    trusting.trust(trusting.stranger)
    certified.certificate()
    certified.own(certified.authority.issue("old", "relay", expired=True))
    named.user()
    rounds = [round_(way) for way in (trusting, certified, named)]
    with ExitStack() as stack:
        for both in rounds:
            stack.enter_context(both.running())
        rounds[2].goes()
        named.broker.set_password("hunter2-new")  # under way: the broker asks for it again every 1.5 s
        rounds[0].says("trusted.pem", "must have the authority that signed it")
        rounds[1].says("client.crt", "has not expired")
        rounds[2].says("user 'relay'", "SCRAM-SHA-512", "sasl.password")
        trusting.trust(trusting.authority)
        certified.own(certified.authority.issue("new", "relay"))
        named.password.write_text("hunter2-new")
        for both in rounds:
            both.goes()


def _wrong_authority(way: Way) -> None:
    way.tls()
    way.trust(way.stranger)


def _wrong_password(way: Way) -> None:
    way.user()
    way.password.write_text("hunter2-wrong")


@pytest.mark.parametrize(
    "ask", [brokers, partial(report.lag, consumer="c"), partial(report.groups, consumers=["c"], over=0)]
)
@pytest.mark.parametrize(
    ("wrong", "mend"),
    [(_wrong_authority, "must have the authority that signed it"), (_wrong_password, "look at kafka.client sasl")],
)
def test_who_only_asks_is_told_as_much(
    way: Way, ask: Callable[[Kafka], object], wrong: Callable[[Way], None], mend: str
) -> None:
    wrong(way)
    with pytest.raises(KafkaException) as raised:
        ask(way.kafka)
    assert mend in told(raised.value)
    assert isinstance(raised.value.args[0], KafkaError)


def test_settings_that_do_not_fit_the_broker_are_named(ways: Callable[[], Way], round_: Callable[[Way], Round]) -> None:
    secure, plain, nobody = ways(), ways(), ways()
    secure.port = int(secure.broker.bootstrap_servers.rpartition(":")[2])
    plain.tls()
    plain.client["security.protocol"] = "PLAINTEXT"
    nobody.port = nobody.broker.mutual
    rounds = [round_(way) for way in (secure, plain, nobody)]
    with ExitStack() as stack:
        for both in rounds:
            stack.enter_context(both.running())
        rounds[0].says("security.protocol to PLAINTEXT")
        rounds[1].says("if their port has TLS", "security.protocol")
        rounds[2].says("there is none", "ssl.certificate.location")
        for both in rounds:  # all at once: each waits for an answer that does not come
            both.relay.stop()
            both.runner.stop()
