"""A group whose members are processes or threads of the test's own, for one topic and one table of effects."""

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg

from tests.integration.consumer import member
from tests.integration.consumer.traffic import Effects, Traffic, effect
from tests.integration.running import Process, process, running
from tests.integration.topics import Topics
from tests.waiting import eventually
from txbox.consumer import Consumer, ConsumerConfig, Runner
from txbox.consumer.consumer import Handler
from txbox.daemon import Database, Kafka

__all__ = ["PROTOCOLS", "Group"]

#: the ways in which a group may share out its partitions: settings of kafka.client
PROTOCOLS: Final[dict[str, dict[str, str]]] = {
    "cooperative": {},
    "eager": {"partition.assignment.strategy": "range"},
    "consumer": {"group.protocol": "consumer"},
}

#: quicker than the defaults, so that tests need not wait
_QUICK: Final[dict[str, Any]] = {"session_timeout": 6.0, "max_batch": 50, "backoff_cap": 0.2}


@dataclass
class Group:
    """Members of one group. Its name is the topic's."""

    url: str
    kafka: Kafka
    topics: Topics
    topic: str
    client: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.effects = Effects(self.url)
        self.traffic = Traffic(self.kafka.bootstrap_servers, self.topic)

    def process(self, *, failpoint: str | None = None, **config: Any) -> AbstractContextManager[Process]:
        """Start a member in a process of its own, for a block."""
        options = json.dumps({"client": self.client, **config})
        return process(
            member.__name__, self.url, self.kafka.bootstrap_servers, self.topic, options, failpoint=failpoint
        )

    @contextmanager
    def thread(self, handler: Handler = effect, *, url: str = "", **config: Any) -> Iterator[Runner]:
        """Run a member in a thread, for a block; `url` is another way to the database."""
        consumer = Consumer(self.topic, topics=[self.topic])
        consumer.handler("N")(handler)
        kafka = Kafka(bootstrap_servers=self.kafka.bootstrap_servers, client=self.client)
        config = {**_QUICK, **config}
        runner = Runner(consumer, Database(url=url or self.url), kafka, ConsumerConfig(**config))
        with running(runner):
            yield runner

    def settled(self, *, within: float = 60.0) -> None:
        """Wait until every message has been dealt with and its offset is committed; each has had its effect once."""
        self.traffic.settled(self.effects, within=within)
        wanted = self.topics.count(self.topic)
        eventually(lambda: self.topics.committed(self.topic, self.topic) == wanted, within=within, every=0.2)
        self.traffic.settled(self.effects)  # what was handled twice would have been handled by now

    def share(self, *members: Runner) -> None:
        """Return when each of them has partitions."""
        eventually(lambda: all(self.partitions(one) for one in members), within=60)

    def partitions(self, member: Runner) -> float:
        """How many partitions a member has, as it says."""
        return member.registry.get_sample_value("txbox_consumer_partitions", {"consumer": self.topic}) or 0

    def outcomes(self, member: Runner, outcome: str) -> float:
        """How many messages had that outcome, as a member says."""
        labels = {"consumer": self.topic, "topic": self.topic, "outcome": outcome}
        return member.registry.get_sample_value("txbox_consumer_messages_total", labels) or 0

    def waiting(self) -> bool:
        """Whether a member waits for another one's ids."""
        waits = "SELECT FROM pg_stat_activity WHERE application_name = left(%s, 63) AND wait_event_type = 'Lock'"
        with psycopg.connect(self.url) as conn:
            return bool(conn.execute(waits, [f"txbox consumer {self.topic}"]).fetchall())
