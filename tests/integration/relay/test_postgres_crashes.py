"""A server that restarts or dies under traffic: what it acknowledged is published, in order, and nothing else."""

import pytest

from tests.integration.relay import relay_process
from tests.integration.relay.stress_cursors import Verdict
from tests.integration.relay.writers import outcome, traffic
from tests.integration.running import process
from tests.integration.standby import execute, power_cut
from tests.integration.topics import Topics
from txbox.daemon import Kafka
from txbox.sandbox.postgres import Postgres


def ended(server: Postgres, end: str) -> None:
    """End it in one way, and start it again."""
    power_cut(server) if end == "power_cut" else getattr(server, end)()
    server.start()


@pytest.mark.parametrize("ends", [("stop", "kill"), ("stop_immediately", "power_cut")], ids="+".join)
def test_what_was_acknowledged_is_published_once_a_server_is_back(
    primary: Postgres, kafka: Kafka, topics: Topics, ends: tuple[str, ...]
) -> None:
    topic = topics.make(partitions=3)
    with process(relay_process.__name__, primary.url, kafka.bootstrap_servers) as relay:
        with traffic(primary.url, topic) as written:
            for end in ends:
                written.more()
                ended(primary, end)
            written.more()
        found = outcome(written, primary.url, topics, topic)
        assert relay.popen.poll() is None
    assert (found.forgotten, found.ghosts, found.verdict) == (set(), set(), Verdict())


def test_what_is_left_of_asynchronous_commits_is_published_once_a_server_is_back(
    primary: Postgres, kafka: Kafka, topics: Topics
) -> None:
    topic = topics.make(partitions=3)
    execute(primary, "ALTER SYSTEM SET wal_writer_delay = '10s'", "SELECT pg_reload_conf()")
    with process(relay_process.__name__, primary.url, kafka.bootstrap_servers):
        with traffic(primary.url, topic, "off") as written:
            for _ in range(2):
                written.more()
                ended(primary, "power_cut")
            written.more()
        found = outcome(written, primary.url, topics, topic)
    assert found.verdict == Verdict()
    assert found.invented == set()
