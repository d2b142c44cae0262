"""Faults of the cluster, made on purpose."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from psycopg import Connection

from tests.integration.conftest import Publish
from tests.integration.doctor.conftest import Look
from tests.integration.topics import Topics
from txbox.doctor import Level
from txbox.outbox import Message
from txbox.sandbox.broker import Broker
from txbox.sandbox.runtime import Runtime
from txbox.sandbox.servers import free_ports


class Doors(NamedTuple):
    """Ways to one broker, each of which tells clients another address."""

    unresolved: str
    closed: str
    closed_port: int


@pytest.fixture(scope="module")
def doors() -> Iterator[Doors]:
    """A broker whose listeners are advertised wrongly."""
    direct, unresolved, closed, nothing, controller = free_ports(5)
    folder = Path(tempfile.mkdtemp(prefix="txbox-broker-"))
    broker = Broker(0, folder, Runtime(lambda _: None))
    try:
        broker.prepare(direct, {0: f"127.0.0.1:{controller}"})
        settings = folder / "server.properties"
        text = settings.read_text()
        ways = f"BROKER://127.0.0.1:{direct},NAME://127.0.0.1:{unresolved},PORT://127.0.0.1:{closed},"
        text = text.replace(f"BROKER://127.0.0.1:{direct},", ways)
        text = text.replace("BROKER:PLAINTEXT,", "BROKER:PLAINTEXT,NAME:PLAINTEXT,PORT:PLAINTEXT,")
        told = f"BROKER://127.0.0.1:{direct},NAME://kafka.invalid:9092,PORT://127.0.0.1:{nothing}"
        settings.write_text(f"{text}advertised.listeners={told}\n")
        broker.launch()
        broker.wait_ready()
        yield Doors(f"127.0.0.1:{unresolved}", f"127.0.0.1:{closed}", nothing)
    finally:
        broker.kill()
        shutil.rmtree(folder)


def test_an_advertised_name_that_does_not_resolve(look: Look, doors: Doors) -> None:
    found = look(servers=doors.unresolved)
    assert found["kafka"].level is Level.OK
    assert found["brokers"].level is Level.FAIL
    assert "broker 0 says that it is at kafka.invalid:9092: the name does not resolve" in found["brokers"].why
    assert "advertised.listeners" in found["brokers"].mend
    assert (found["topics"].level, found["topics"].why) == (Level.SKIPPED, "brokers failed")


def test_an_advertised_address_where_nobody_listens(look: Look, doors: Doors) -> None:
    found = look(servers=doors.closed)["brokers"]
    assert f"127.0.0.1:{doors.closed_port}: connection refused" in found.why


def test_no_broker(look: Look) -> None:
    [port] = free_ports(1)
    found = look(servers=f"127.0.0.1:{port},no-broker.invalid:9092")
    assert found["kafka"].level is Level.FAIL
    assert f"127.0.0.1:{port}: connection refused" in found["kafka"].why
    assert "no-broker.invalid:9092: the name does not resolve" in found["kafka"].why
    assert "kafka.bootstrap_servers" in found["kafka"].mend
    assert (found["lag"].level, found["lag"].why) == (Level.SKIPPED, "kafka failed")


def test_one_broker_of_two(look: Look, topics: Topics) -> None:
    [port] = free_ports(1)
    found = look(servers=f"127.0.0.1:{port},{topics._servers['bootstrap.servers']}")
    assert (found["kafka"].level, str(port) in found["kafka"].why) == (Level.WARN, True)
    assert found["brokers"].level is Level.OK


def test_a_broker_that_wants_another_protocol_is_told_as_it_says_it(look: Look) -> None:
    found = look(client={"security.protocol": "SSL"})["kafka"]
    assert (found.level, "SSL" in found.why) == (Level.FAIL, True)


def test_a_setting_that_is_refused(look: Look) -> None:
    found = look(client={"acks": "1"})["kafka"]
    assert (found.level, "acks" in found.why) == (Level.FAIL, True)


def test_a_setting_that_librdkafka_does_not_know(look: Look) -> None:
    found = look(client={"sasl.usrname": "relay"})["kafka"]
    assert (found.level, "sasl.usrname" in found.why) == (Level.FAIL, True)


def test_topics_that_are_missing_are_named(look: Look, publish: Publish, topics: Topics, txbox_topic: str) -> None:
    there, missing, by_aggregate = topics.make(), f"{txbox_topic}.none", f"{txbox_topic}.made"
    publish(Message("T", {}, topic=there), Message("T", {}, topic=missing), Message("T", {}, aggregate=by_aggregate))
    found = look(f"{txbox_topic}.asked", topic="of.{aggregate}")["topics"]
    assert found.level is Level.FAIL
    for name in (missing, f"of.{by_aggregate}", f"{txbox_topic}.asked"):
        assert repr(name) in found.why
    assert repr(there) not in found.why
    assert "--create-topics" in found.mend
    assert look(topic="of.{aggregate}", create_topics=True)["topics"].level is Level.OK
    assert missing not in topics._admin.list_topics(timeout=20).topics  # it looks, and makes none


@pytest.mark.parametrize("create", [False, True])
def test_a_name_that_no_topic_can_have_is_not_called_missing(look: Look, *, create: bool) -> None:
    found = look("orders/new", create_topics=create)["topics"]
    assert (found.level, "allows no topic of the name 'orders/new'" in found.why) == (Level.FAIL, True)
    assert "--create" not in found.mend


def test_a_topic_that_takes_less_than_an_outbox(look: Look, topics: Topics) -> None:
    small = topics.make(max_message_bytes="500000")
    found = look(small)["sizes"]
    assert (found.level, f"{small!r} takes record batches of 500,000" in found.why) == (Level.WARN, True)
    assert "max_payload=495904" in found.mend
    assert "max.message.bytes" in found.mend
    topics.configure(small, "max.message.bytes", "2000000")
    assert look(small)["sizes"].level is Level.OK


def test_a_client_that_takes_less_than_an_outbox(look: Look, topic: str, conn: Connection) -> None:
    found = look(topic, client={"message.max.bytes": "100000"})["sizes"]
    assert (found.level, "message.max.bytes is 100,000" in found.why) == (Level.WARN, True)
