"""Owners that are frozen or too slow while others have their partitions: both write, and each effect happens once."""

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection

from tests.integration.consumer.group import Group
from tests.integration.consumer.traffic import effect
from tests.integration.running import Process
from tests.waiting import eventually
from txbox.consumer import Received


def frozen(member: Process) -> None:
    """Return when a failpoint has stopped it."""
    state = Path(f"/proc/{member.popen.pid}/stat")
    eventually(lambda: ") T" in state.read_text(), within=30)


def thaw(member: Process) -> None:
    os.kill(member.popen.pid, signal.SIGCONT)


@pytest.mark.parametrize("point", ["consumer.handled", "consumer.committed"])
def test_a_frozen_owner_and_its_successor_both_write(group: Group, point: str) -> None:
    group.traffic.write(600)
    with group.process(failpoint=f"{point}:stop:2") as zombie:
        frozen(zombie)
        with group.thread():
            if point == "consumer.committed":
                eventually(lambda: group.effects.count() >= 600, within=60)
            else:
                eventually(group.waiting, within=60)  # for the ids that the zombie has taken
            with group.traffic.flowing():
                thaw(zombie)
                group.traffic.more(group.effects)
            group.settled()
            assert zombie.terminate() == 0


def test_ids_of_an_owner_that_stays_frozen_are_free_again_in_bounded_time(group: Group) -> None:
    group.traffic.write(600)
    with group.process(failpoint="consumer.handled:stop:2", handler_timeout=1.0) as zombie:
        frozen(zombie)
        with group.thread():
            eventually(lambda: group.effects.count() >= 600, within=60)
            thaw(zombie)
            zombie.said("trying again")
            group.traffic.write(600)
            group.settled()
            assert zombie.terminate() == 0


def test_a_handler_slower_than_kafka_waits_for_has_its_effect_once_and_the_group_goes_on(group: Group) -> None:
    group.client = {"max.poll.interval.ms": 6000}
    began, done = threading.Event(), threading.Event()

    def slow(conn: Connection[Any], message: Received) -> None:
        effect(conn, message)
        if (message.key, message.payload) == ("k1", 3):
            began.set()
            assert done.wait(60)

    group.traffic.write(120)
    with group.thread(slow) as first:
        assert began.wait(60)
        with group.thread(slow) as second:
            eventually(group.waiting, within=60)  # for the ids that the first one has taken
            with group.traffic.flowing():
                done.set()
                group.traffic.more(group.effects)
            group.settled()
            group.share(first, second)
