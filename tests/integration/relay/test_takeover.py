"""How soon a standby follows a leader that was killed."""

from tests.integration.relay.takeover import takeovers
from txbox.daemon import Database, Kafka


def test_a_standby_publishes_within_seconds_of_a_kill(database: Database, kafka: Kafka, topic: str) -> None:
    took = takeovers(database, kafka, topic, times=3)
    assert max(took) < 5, took
