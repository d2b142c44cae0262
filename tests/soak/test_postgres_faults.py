"""Servers that crash, and fail over, again and again under traffic."""

from random import Random

import psycopg
import pytest

from tests.integration.relay import relay_process
from tests.integration.relay.stress_cursors import Verdict
from tests.integration.relay.writers import outcome, traffic
from tests.integration.running import process
from tests.integration.sandbox.conftest import new_open_folder
from tests.integration.standby import anywhere, power_cut, server, standby
from tests.integration.topics import Topics
from txbox.daemon import Kafka
from txbox.schema import migrate

CRASHES = 40
FAILOVERS = 20


def prepared(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        migrate(conn)


@pytest.mark.parametrize("synchronous_commit", ["on", "off"])
def test_crash_after_crash(kafka: Kafka, topics: Topics, synchronous_commit: str) -> None:
    topic, random = topics.make(partitions=3), Random(1)
    with new_open_folder() as folder, server(folder / "primary") as primary:
        prepared(primary.url)
        with process(relay_process.__name__, primary.url, kafka.bootstrap_servers):
            with traffic(primary.url, topic, synchronous_commit) as written:
                for _ in range(CRASHES):
                    written.more(random.randrange(1, 400))
                    random.choice((power_cut, type(primary).kill, type(primary).stop_immediately))(primary)
                    primary.start()
                written.more()
            found = outcome(written, primary.url, topics, topic)
    print(f"{len(written.acknowledged):,} acknowledged, {len(found.forgotten)} forgotten, {len(found.ghosts)} ghosts")
    assert (found.invented, found.verdict) == (set(), Verdict())
    assert synchronous_commit == "off" or (found.forgotten, found.ghosts) == (set(), set())


@pytest.mark.parametrize("end", ["power_cut", "kill"])
def test_failover_after_failover_to_a_synchronous_standby(kafka: Kafka, topics: Topics, end: str) -> None:
    """Of a server whose main process alone is killed, the others live on for some milliseconds: ghosts are counted."""
    random, acknowledged, ghosts = Random(2), 0, 0
    for turn in range(FAILOVERS):
        topic = topics.make(f"-{turn}", partitions=3)
        with new_open_folder() as folder, server(folder / "primary") as primary:
            prepared(primary.url)
            with standby(primary) as second:
                second.make_synchronous()
                url = anywhere(primary, second)
                with process(relay_process.__name__, url, kafka.bootstrap_servers):
                    with traffic(url, topic) as written:
                        written.more(random.randrange(1, 400))
                        power_cut(primary) if end == "power_cut" else primary.kill()
                        second.promote()
                        written.more()
                    found = outcome(written, second.url, topics, topic)
        assert (found.forgotten, found.invented, found.verdict) == (set(), set(), Verdict())
        acknowledged, ghosts = acknowledged + len(written.acknowledged), ghosts + len(found.ghosts)
    print(f"{FAILOVERS} failovers, {acknowledged:,} acknowledged, {ghosts} ghosts")
    assert end == "kill" or ghosts == 0
