"""A leader that is frozen for longer than every time-out, and then goes on."""

import os
import signal

from tests.integration.conftest import Publish
from tests.integration.running import process
from tests.integration.topics import Topics
from tests.waiting import eventually
from txbox.daemon import Database, Kafka
from txbox.outbox import Message


def test_a_standby_takes_over_from_a_frozen_leader_and_what_it_does_later_changes_no_order(
    database: Database, kafka: Kafka, publish: Publish, topics: Topics, topic: str
):
    relay = ("tests.integration.relay.relay_process", database.url, kafka.bootstrap_servers)
    ids = publish(*(Message("T", {"n": n}, topic=topic, key="k") for n in range(10)))
    with process(*relay) as leader:
        eventually(lambda: topics.count(topic) >= 10)
        with process(*relay) as standby:
            standby.said("standing by")
            os.kill(leader.popen.pid, signal.SIGSTOP)
            ids += publish(*(Message("T", {"n": n}, topic=topic, key="k") for n in range(10, 20)))
            eventually(lambda: topics.count(topic) >= 20, within=40)
            os.kill(leader.popen.pid, signal.SIGCONT)
            ids += publish(*(Message("T", {"n": n}, topic=topic, key="k") for n in range(20, 30)))
            eventually(lambda: topics.count(topic) >= 30)
            leader.said("standing by")
    assert list(dict.fromkeys(topics.ids(topic))) == list(map(str, ids))
