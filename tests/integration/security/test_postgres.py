"""TLS and passwords to PostgreSQL: what works, what is said when it does not, and that mending is enough."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.integration.running import running
from tests.integration.security.brokers import SecureBroker
from tests.integration.security.certificates import Authority
from tests.integration.security.conftest import PASSWORD
from tests.integration.security.databases import SecurePostgres
from tests.integration.topics import Topics
from tests.waiting import eventually
from txbox.consumer import Consumer, Runner
from txbox.daemon import Database, Health, Kafka, connect
from txbox.outbox import Message, Outbox
from txbox.relay import Relay
from txbox.schema import migrate


class Way:
    """How a client reaches the server: all files are its own, and may be replaced."""

    def __init__(self, folder: Path, postgres: SecurePostgres, authority: Authority) -> None:
        self.postgres, self.authority, self.user = postgres, authority, "relay"
        self.ca, self.url_file = folder / "trusted.pem", folder / "url"
        self.keys = folder / "client.pem"
        self.trust(authority)
        self.password(PASSWORD)

    def trust(self, authority: Authority) -> None:
        self.ca.write_bytes(authority.pem.read_bytes())

    def password(self, password: str) -> None:
        self._write(f"password={password}")

    def certificate(self, keys: Path) -> None:
        """Come as `bearer`, with a certificate and no password."""
        self.user = "bearer"
        self.keys.with_suffix(".crt").write_bytes(keys.with_suffix(".crt").read_bytes())
        self.keys.with_suffix(".key").write_bytes(keys.with_suffix(".key").read_bytes())
        self.keys.with_suffix(".key").chmod(0o600)
        self._write(f"sslcert={self.keys.with_suffix('.crt')} sslkey={self.keys.with_suffix('.key')}")

    def _write(self, proof: str) -> None:
        given = f"host=127.0.0.1 port={self.postgres.port} dbname=postgres user={self.user}"
        self.url_file.write_text(f"{given} sslmode=verify-full sslrootcert={self.ca} {proof}\n")

    @property
    def database(self) -> Database:
        return Database(url="", url_file=self.url_file)


@pytest.fixture
def way(tmp_path: Path, postgres: SecurePostgres, authority: Authority) -> Way:
    return Way(tmp_path, postgres, authority)


def comes_in(database: Database) -> tuple[Any, ...] | None:
    """Who one is on a connection, and whether it is encrypted."""
    with connect(psycopg.Connection, database, "test") as conn:
        return conn.execute("SELECT current_user, ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()


def test_a_password_over_tls_and_a_certificate_are_proofs(way: Way) -> None:
    assert comes_in(way.database) == ("relay", True)
    way.certificate(way.authority.issue("bearer", "bearer"))
    assert comes_in(way.database) == ("bearer", True)


def expired(way: Way, _: Authority) -> None:
    way.postgres.show(way.authority.issue("expired", "localhost", "127.0.0.1", expired=True))


def wrong_host(way: Way, _: Authority) -> None:
    way.postgres.show(way.authority.issue("elsewhere", "db.example"))


def wrong_authority(way: Way, stranger: Authority) -> None:
    way.trust(stranger)


def wrong_password(way: Way, _: Authority) -> None:
    way.password("hunter2-wrong")


def wrong_url(way: Way, _: Authority) -> None:
    way.url_file.write_text("postgresql://relay:hunter2@wrong@127.0.0.1/postgres")


def no_certificate(way: Way, _: Authority) -> None:
    way.certificate(way.authority.issue("bearer", "bearer"))
    way._write("")


def expired_certificate(way: Way, _: Authority) -> None:
    way.certificate(way.authority.issue("bearer", "bearer", expired=True))


BROKEN: list[tuple[Callable[[Way, Authority], None], list[str]]] = [
    (expired, ["certificate has expired", "renew it"]),
    (wrong_host, ['"db.example"', "127.0.0.1", "call the server by a name"]),
    (wrong_authority, ["trusted.pem", "must have the authority that signed it"]),
    (wrong_password, ['user "relay"', "Look at the password in database.url"]),
    (wrong_url, ["percent-encoded"]),
    (no_certificate, ["sslcert", "must name one that it does"]),
    (expired_certificate, ["sslcert", "has not expired"]),
]


@pytest.mark.parametrize(("breaks", "told"), BROKEN, ids=[breaks.__name__ for breaks, _ in BROKEN])
def test_what_is_wrong_is_named_with_its_mend(
    way: Way, stranger: Authority, breaks: Callable[[Way, Authority], None], told: list[str]
) -> None:
    breaks(way, stranger)
    with pytest.raises(psycopg.OperationalError) as refused:
        comes_in(way.database)
    text = str(refused.value)
    assert [word for word in told if word.lower() not in text.lower()] == [], text
    assert "hunter2" not in text


def test_daemons_go_on_when_a_rotated_password_is_in_its_file_and_an_expired_certificate_is_renewed(
    way: Way, postgres: SecurePostgres, authority: Authority, broker: SecureBroker, topics: Topics
) -> None:
    topic = topics.make()
    with psycopg.connect(postgres.url, autocommit=True) as conn:
        migrate(conn)
        consumer, got = Consumer(topic, topics=[topic]), list[str]()
        consumer.handler("T")(lambda _, message: got.append(str(message.id)))
        kafka = Kafka(bootstrap_servers=broker.bootstrap_servers)
        relay, runner = Relay(way.database, kafka), Runner(consumer, way.database, kafka)

        def goes_round() -> None:
            with conn.transaction():
                id_ = str(Outbox().add(conn, Message("T", topic=topic)))
            eventually(lambda: id_ in got, within=60)

        def is_told(*words: str) -> None:
            postgres.cut()
            for health in (relay.health, runner.health):
                eventually(partial(is_said, health, words), within=60)

        with ExitStack() as stack:
            stack.enter_context(running(relay))
            stack.enter_context(running(runner))
            goes_round()
            postgres.user("relay", "hunter2-new")
            is_told("password authentication failed", "Look at the password")
            way.password("hunter2-new")
            goes_round()
            postgres.show(authority.issue("expired", "localhost", "127.0.0.1", expired=True))
            is_told("certificate has expired", "renew it")
            postgres.show(authority.issue("renewed", "localhost", "127.0.0.1"))
            goes_round()


def is_said(health: Health, words: Sequence[str]) -> bool:
    """Whether /readyz says these words of the database, which is not well."""
    check = health.report().checks["database"]
    return not check.ok and all(word in check.why for word in words)
