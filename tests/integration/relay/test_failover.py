"""Failover to a physical standby: what the new primary has is published, in order; ghosts only where it forgot."""

import logging
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.integration.relay import relay_process
from tests.integration.relay.stress_cursors import Verdict
from tests.integration.relay.writers import outcome, traffic
from tests.integration.running import process, running
from tests.integration.standby import anywhere, execute, power_cut, standby
from tests.integration.topics import Topics
from tests.waiting import eventually
from txbox.daemon import Database, Kafka
from txbox.outbox import Message, Outbox
from txbox.relay import InRecovery, Relay
from txbox.sandbox.postgres import Postgres


def write(server: Postgres, topic: str, count: int = 1) -> list[str]:
    """Commit messages; return their ids."""
    with psycopg.connect(server.url) as conn:
        return list(map(str, Outbox().add_many(conn, (Message("T", topic=topic, key="k") for _ in range(count)))))


def add(conn: psycopg.Connection, topic: str) -> str:
    """Add a message to the transaction that is open."""
    return str(Outbox().add(conn, Message("T", topic=topic)))


def test_failover_to_a_synchronous_standby_loses_nothing_and_leaves_no_ghost(
    primary: Postgres, kafka: Kafka, topics: Topics
) -> None:
    topic = topics.make(partitions=3)
    with standby(primary) as second:
        second.make_synchronous()
        url = anywhere(primary, second)
        with process(relay_process.__name__, url, kafka.bootstrap_servers) as relay:
            with traffic(url, topic) as written:
                written.more()
                power_cut(primary)
                second.promote()
                written.more()
            found = outcome(written, second.url, topics, topic)
            assert "another timeline" in relay.log
    assert (found.forgotten, found.ghosts, found.verdict) == (set(), set(), Verdict())


def test_failover_to_an_asynchronous_standby_publishes_all_that_it_has(
    primary: Postgres, kafka: Kafka, topics: Topics
) -> None:
    topic = topics.make(partitions=3)
    with standby(primary) as second:
        url = anywhere(primary, second)
        with process(relay_process.__name__, url, kafka.bootstrap_servers):
            with traffic(url, topic) as written:
                written.more()
                second.cut_off()
                written.more()
                power_cut(primary)
                second.promote()
                written.more()
            found = outcome(written, second.url, topics, topic)
    assert found.verdict == Verdict()
    assert found.invented == set()
    assert found.forgotten, "what the standby never received was acknowledged: PostgreSQL's own rule"
    assert found.ghosts, "of that, what was published stays published"


@pytest.mark.parametrize("cut_short", ["cancel", "crash"])
def test_commit_that_waits_for_its_standby_is_not_published_unless_the_wait_is_cut_short(
    primary: Postgres, kafka: Kafka, topics: Topics, topic: str, cut_short: str
) -> None:
    with standby(primary) as second, psycopg.connect(primary.url) as waiting, psycopg.connect(primary.url) as local:
        local.execute("SET synchronous_commit = local")
        second.make_synchronous()
        with running(Relay(Database(url=anywhere(primary, second)), kafka)), ThreadPoolExecutor(1) as pool:
            seen = [add(waiting, topic)]
            waiting.commit()
            second.cut_off()
            waits = add(waiting, topic)
            commit = pool.submit(waiting.commit)
            waiters = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
            eventually(lambda: execute(primary, waiters) == [(waiting.info.backend_pid,)])
            for _ in range(5):
                seen.append(add(local, topic))
                local.commit()
                eventually(lambda: topics.ids(topic) == seen)
            if cut_short == "cancel":
                execute(primary, f"SELECT pg_cancel_backend({waiting.info.backend_pid})")
                commit.result(20)
            else:
                power_cut(primary)
                primary.start()
                assert isinstance(commit.exception(20), psycopg.OperationalError)
            seen.append(waits)
            eventually(lambda: list(dict.fromkeys(topics.ids(topic))) == seen, within=60)
            power_cut(primary)
            second.promote()
            seen += write(second, topic)
            eventually(lambda: list(dict.fromkeys(topics.ids(topic))) == seen, within=60)
        assert len(execute(second, "SELECT seq FROM txbox.outbox")) == 2, "all between are ghosts now"


def test_messages_that_waited_on_the_old_timeline_are_published_on_the_new_one(
    primary: Postgres, kafka: Kafka, topics: Topics, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    ids = write(primary, topic, 5)
    Relay(Database(url=primary.url), kafka).run(once=True)
    with standby(primary) as second:
        ids += write(primary, topic, 5)
        second.catch_up()
        power_cut(primary)
        second.promote()
        with caplog.at_level(logging.WARNING, "txbox.relay"):
            Relay(Database(url=second.url), kafka).run(once=True)
        assert "another timeline" in caplog.text
        caplog.clear()
        ids += write(second, topic, 5)
        Relay(Database(url=second.url), kafka).run(once=True)
        assert "another timeline" not in caplog.text
        assert execute(second, "SELECT timeline FROM txbox.relay_cursor") == [(2,)]
    assert topics.ids(topic) == ids


def test_relay_waits_at_a_standby_and_goes_on_when_it_is_promoted(
    primary: Postgres, kafka: Kafka, topics: Topics, topic: str
) -> None:
    with standby(primary) as second:
        ids = write(primary, topic, 5)
        second.catch_up()
        relay = Relay(Database(url=second.url), kafka)
        with pytest.raises(InRecovery, match="target_session_attrs=read-write"):
            Relay(Database(url=second.url), kafka).run(once=True)
        with running(relay):
            eventually(lambda: "is a standby" in relay.health.report().checks["database"].why)
            second.promote()
            eventually(lambda: relay.health.report().ready, within=60)
            ids += write(second, topic, 5)
            eventually(lambda: topics.count(topic) >= 10, within=60)
    assert topics.ids(topic) == ids


def test_old_primary_that_comes_back_is_left_alone(primary: Postgres, kafka: Kafka, topics: Topics, topic: str) -> None:
    with standby(primary) as second:
        relay = Relay(Database(url=anywhere(primary, second)), kafka)
        with running(relay):
            ids = write(primary, topic, 5)
            eventually(lambda: topics.count(topic) >= 5)
            power_cut(primary)
            second.promote()
            ids += write(second, topic, 5)
            eventually(lambda: topics.count(topic) >= 10, within=60)
            primary.start()  # nobody has rewound it, and the URL names it first
            write(primary, topic, 5)
            terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name ~ 'txbox relay'"
            execute(second, terminate)
            eventually(lambda: "old primary" in relay.health.report().checks["database"].why, within=60)
            primary.stop()
            ids += write(second, topic, 5)
            eventually(lambda: relay.health.report().ready and topics.count(topic) >= 15, within=60)
    assert list(dict.fromkeys(topics.ids(topic))) == ids
