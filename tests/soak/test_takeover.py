"""How long nothing is published when a leader is killed: `pytest -s tests/soak/test_takeover.py` prints it."""

from statistics import quantiles

from tests.integration.relay.takeover import takeovers
from txbox.daemon import Database, Kafka


def test_a_standby_follows_in_two_seconds_and_hardly_ever_in_three(
    database: Database, kafka: Kafka, topic: str
) -> None:
    took = takeovers(database, kafka, topic, times=40)
    percent = quantiles(took, n=100, method="inclusive")
    print(f"{len(took)} kills: p50 {percent[49]:.2f} s, p99 {percent[98]:.2f} s, longest {max(took):.2f} s")
    assert percent[49] < 2
    assert percent[98] < 3
