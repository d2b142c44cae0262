"""Kill the leader, again and again, and measure how long nothing is published."""

import time
from contextlib import ExitStack
from itertools import count

import psycopg
from confluent_kafka import Consumer, TopicPartition

from tests.integration.relay import relay_process
from tests.integration.running import Process, process, repeating
from tests.waiting import eventually
from txbox.daemon import Database, Kafka
from txbox.outbox import Message, Outbox

__all__ = ["takeovers"]

#: seconds between messages
_PACE = 0.01


class Stream:
    """A message each hundredth of a second: when each was committed, and when it was read from the topic."""

    def __init__(self, conn: psycopg.Connection, kafka: Kafka, topic: str) -> None:
        self._conn, self._topic = conn, topic
        self._numbers = count()
        self.committed: list[float] = []
        self.arrived: dict[int, float] = {}
        settings = {"bootstrap.servers": kafka.bootstrap_servers, "group.id": topic, "fetch.wait.max.ms": 10}
        self._consumer = Consumer(settings)
        self._consumer.assign([TopicPartition(topic, 0, 0)])

    def write(self) -> None:
        with self._conn.transaction():
            Outbox().add(self._conn, Message("N", next(self._numbers), topic=self._topic, key="k"))
        self.committed.append(time.monotonic())

    def read(self) -> None:
        message = self._consumer.poll(0.1)
        if message is not None and message.error() is None:
            self.arrived.setdefault(int(message.value() or b""), time.monotonic())

    def gap_after(self, moment: float) -> float:
        """Seconds from a moment to the arrival of the first message that was committed after it; 0 if not yet."""
        number = next((n for n, at in enumerate(self.committed) if at > moment), None)
        return 0.0 if number not in self.arrived else self.arrived[number] - moment

    def close(self) -> None:
        self._consumer.close()


def takeovers(database: Database, kafka: Kafka, topic: str, times: int) -> list[float]:
    """Kill so many leaders; return the seconds from each kill to the arrival of a message committed after it."""
    arguments = (relay_process.__name__, database.url, kafka.bootstrap_servers)
    took: list[float] = []
    with psycopg.connect(database.url, autocommit=True) as conn, ExitStack() as all_over:
        stream = Stream(conn, kafka, topic)
        all_over.callback(stream.close)
        leader: Process = all_over.enter_context(process(*arguments))
        leader.said('"leading"')
        all_over.enter_context(repeating(stream.write, _PACE))
        all_over.enter_context(repeating(stream.read, 0))
        for _ in range(times):
            standby = all_over.enter_context(process(*arguments))
            standby.said("standing by")
            killed = time.monotonic()
            leader.kill()
            took.append(eventually(lambda: stream.gap_after(killed), within=60))  # noqa: B023  # now
            leader = standby
    return took
