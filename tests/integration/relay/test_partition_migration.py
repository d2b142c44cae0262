"""The outbox is partitioned while writers and a relay go on: nothing lost, no ghost, in order a key, nobody fails."""

import json
from contextlib import ExitStack
from typing import Any

import psycopg

from tests.integration.conftest import Publish
from tests.integration.relay import relay_process, steady_writer
from tests.integration.relay.steady_writer import KINDS
from tests.integration.relay.stress_cursors import Seen, Verdict, judge, truth_of
from tests.integration.relay.stress_writer import prepare_tables
from tests.integration.relay.test_cursor_stress import UNCOVERED, have_written, hostile
from tests.integration.running import process, running
from tests.integration.topics import Topics
from tests.waiting import eventually
from txbox.daemon import Database, Kafka
from txbox.outbox import Message, Outbox
from txbox.relay import Relay, RelayConfig
from txbox.schema import Step, layout, partition

Connection = psycopg.Connection[Any]


def test_writers_and_a_relay_go_on_while_the_outbox_is_partitioned_and_old_partitions_go(
    conn: Connection, database: Database, kafka: Kafka, topics: Topics
):
    partition_under(conn, database, kafka, topics, count=6, kinds=KINDS[:3])


def partition_under(
    conn: Connection, database: Database, kafka: Kafka, topics: Topics, *, count: int, kinds: tuple[str, ...]
) -> None:
    """Partition the outbox under these writers, let the relay drop two partitions, and judge what was published."""
    prepare_tables(conn)
    topic = topics.make(partitions=3)
    relay = (relay_process.__name__, database.url, kafka.bootstrap_servers, "1")
    with process(*relay) as leader, hostile(database, topic, count) as hostiles, ExitStack() as stack:
        names = [(steady_writer.__name__, database.url, topic, kind) for kind in kinds]
        steady = [stack.enter_context(process(*name)) for name in names]
        writers = [*hostiles, *steady]
        eventually(lambda: have_written(writers, conn, 500), within=60)
        with psycopg.connect(database.url, autocommit=True) as own:
            assert partition(own, rows=2000, patience=240)[:2] == (Step.WRAP, Step.CLOSE)
        eventually(lambda: "outbox_p0" not in parts(conn), within=120)
        eventually(lambda: parts(conn)[0] != "outbox_p2000000000000", within=120)
        assert leader.popen.poll() is None, leader.log
        for writer in steady:
            assert writer.terminate() == 0, writer.log
        told = [json.loads(writer.log) for writer in steady]
        for writer in hostiles:
            assert writer.terminate() == 0, writer.log
        eventually(lambda: conn.execute(UNCOVERED).fetchone() == (0,), within=60)
        published = [Seen.of((raw.header("id") or b"").decode(), raw.value) for raw in topics.read(topic)]
        assert judge(truth_of(conn), published) == Verdict(), "not even repeated"
        assert conn.execute("SELECT epoch FROM txbox.relay_cursor").fetchone() == (1,), "the leader led all the time"
    print("longest transactions:", told)
    assert max(each["longest"] for each in told) < 20, "nobody stood still"


def parts(conn: Connection) -> list[str]:
    return [part.name for part in layout(conn).parts or ()]


def test_a_relay_publishes_while_partitioning_waits_for_a_writer_that_stays_open(
    conn: Connection, database: Database, kafka: Kafka, publish: Publish, topics: Topics, topic: str
):
    command = ("txbox.cli", "db", "partition", "--apply", "--database-url", database.url, "--wait")
    ids: list[Any] = []
    with running(Relay(database, kafka, RelayConfig(retention=0))):
        with psycopg.connect(database.url) as writer:
            late = Outbox().add(writer, Message("Open", topic=topic))
            with process(*command, "1s") as hurried:
                ids += publish(Message("T", topic=topic))
                assert hurried.ended() == 1
                assert f"pid {writer.info.backend_pid}" in hurried.log
                assert "run it again" in hurried.log
            with process(*command, "60s") as patient:
                for _ in range(30):
                    ids += publish(Message("T", topic=topic))
                    eventually(lambda: topics.ids(topic)[-1] == str(ids[-1]))  # noqa: B023  # it is called here
                assert patient.popen.poll() is None, patient.log
                writer.commit()
                assert patient.ended() == 0, patient.log
        ids += publish(Message("T", topic=topic))
        eventually(lambda: topics.count(topic) == len(ids) + 1)
    assert [id_ for id_ in topics.ids(topic) if id_ != str(late)] == [str(id_) for id_ in ids]
    assert parts(conn)[0] == "outbox_p0"
