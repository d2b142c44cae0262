"""One message goes the whole way, and nothing of it is left."""

import re
import time
from collections.abc import Mapping

import pytest
from psycopg import Connection

from tests.integration.conftest import Publish
from tests.integration.doctor.conftest import Look
from tests.integration.running import running
from tests.integration.topics import Topics
from tests.waiting import eventually
from txbox.daemon import Database, Kafka
from txbox.doctor import Level
from txbox.outbox import Message
from txbox.relay import Relay, RelayConfig


def left(conn: Connection, topics: Topics) -> tuple[int, list[str]]:
    """Rows and topics of probes."""
    [(rows,)] = conn.execute("SELECT count(*) FROM txbox.outbox WHERE type = 'txbox.Probe'").fetchall()
    names = topics._admin.list_topics(timeout=20).topics
    return rows, [name for name in names if name.startswith("txbox.doctor.")]


def test_a_message_goes_through_and_is_cleared_away(
    look: Look, conn: Connection, database: Database, kafka: Kafka, publish: Publish, topics: Topics, topic: str
) -> None:
    relay = Relay(database, kafka)
    with running(relay):
        publish(Message("T", {}, topic=topic))
        eventually(lambda: topics.count(topic) == 1)
        found = look(probe=True)
        assert (found["probe"].level, "from the outbox to Kafka and back in" in found["probe"].why) == (Level.OK, True)
        assert found["broker clock"].level is Level.OK
        eventually(lambda: left(conn, topics) == (0, []))
        # It goes on as before, on the same term.
        publish(Message("T", {}, topic=topic))
        eventually(lambda: topics.count(topic) == 2)
        assert relay.registry.get_sample_value("txbox_relay_epoch") == 1


def test_a_broker_whose_clock_is_not_ours(look: Look, database: Database, kafka: Kafka) -> None:
    with running(Relay(database, kafka)) as _:
        eventually(lambda: look()["relay"].level is Level.OK)
        found = look(probe=True, doctor={"clock": lambda: time.time() - 500})["broker clock"]
    assert (found.level, "the broker's clock is" in found.why, "ahead of ours" in found.why) == (Level.FAIL, True, True)


def test_without_a_relay_nothing_is_sent(look: Look, conn: Connection, topics: Topics) -> None:
    found = look(probe=True)
    assert (found["probe"].level, found["probe"].mend) == (Level.FAIL, "txbox relay run")
    assert (found["broker clock"].level, found["broker clock"].why) == (Level.SKIPPED, "probe failed")
    assert left(conn, topics) == (0, [])


def test_a_relay_that_is_stuck_keeps_its_topic_and_no_row(
    look: Look, conn: Connection, database: Database, kafka: Kafka, publish: Publish, topics: Topics, txbox_topic: str
) -> None:
    publish(Message("T", {}, topic=f"{txbox_topic}.none"))
    relay = Relay(database, kafka)
    with running(relay):
        # It leads for a moment at each try, and between them not: to find it at that would be luck.
        eventually(lambda: re.search(" leads, seq | did [0-9]+ s ago", look()["relay"].why))
        found = look(probe=True)["probe"]
        assert (found.level, "did not come to Kafka within 2 s" in found.why) == (Level.FAIL, True)
        rows, names = left(conn, topics)
        assert rows == 0
        assert [name for name in names if name in found.why] == names
        # What it waits for comes: the probe is in nobody's way.
        topics.make(".none")
        eventually(lambda: topics.count(f"{txbox_topic}.none") == 1, within=40)
    topics._admin.delete_topics(names)[names[0]].result(20)


def test_a_relay_of_another_name_that_is_behind_keeps_the_topic(
    look: Look, conn: Connection, database: Database, kafka: Kafka, publish: Publish, topics: Topics, topic: str
) -> None:
    publish(Message("T", {}, topic=topic))
    Relay(database, kafka, RelayConfig(name="behind")).run(once=True)
    with running(Relay(database, kafka)):
        eventually(lambda: look()["relay"].level is Level.OK)
        found = look(probe=True)["probe"]
        assert (found.level, "is left, since a relay may still send to it" in found.why) == (Level.WARN, True)
        rows, names = left(conn, topics)
        assert (rows, len(names)) == (0, 1)
        Relay(database, kafka, RelayConfig(name="behind")).run(once=True)
    topics._admin.delete_topics(names)[names[0]].result(20)


@pytest.mark.parametrize("role", ["txbox_viewer", "txbox_relay"])
def test_who_may_not_write_is_told_so(
    look: Look, conn: Connection, urls: Mapping[str, str], database: Database, kafka: Kafka, topics: Topics, role: str
) -> None:
    with running(Relay(database, kafka)):
        eventually(lambda: look()["relay"].level is Level.OK)
        found = look(url=urls[role], probe=True)["probe"]
    assert (found.level, "denied" in found.why) == (Level.SKIPPED, True)
    assert left(conn, topics) == (0, [])
