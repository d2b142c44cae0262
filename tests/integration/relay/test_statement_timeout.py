"""Statements that somebody else's lock holds up: broken off by the server, and tried again."""

from collections.abc import Callable

import psycopg
import pytest

from tests.integration.relay.test_postgres_cut import lost_sessions
from tests.integration.relay.traffic import Traffic
from tests.integration.running import running
from tests.integration.topics import Topics
from tests.waiting import eventually
from txbox.daemon import Backoff, Database, Kafka
from txbox.relay import Relay

HOSTILE = {
    "the read": "LOCK TABLE txbox.outbox IN ACCESS EXCLUSIVE MODE",
    "the save": "SELECT FROM txbox.relay_cursor FOR UPDATE",
    "the guards": "LOCK TABLE txbox.relay_cursor IN ACCESS EXCLUSIVE MODE",
}


@pytest.fixture
def traffic(database: Database, topics: Topics, topic: str) -> Traffic:
    return Traffic(database, topics, topic)


@pytest.mark.parametrize("held_up", HOSTILE)
def test_a_statement_that_is_held_up_is_broken_off_and_tried_again(
    database: Database, kafka: Kafka, traffic: Traffic, caplog: pytest.LogCaptureFixture, held_up: str
) -> None:
    relay = Relay(Database(url=database.url, statement_timeout=0.3), kafka)
    relay._backoff = Backoff(first=0.01, cap=0.05)
    with running(relay):
        traffic.write(20)
        traffic.settle()
        with psycopg.connect(database.url) as hostile:
            hostile.execute(HOSTILE[held_up].encode())
            if held_up != "the read":
                traffic.write(20)
            eventually(lambda: lost_sessions(relay) >= 1)
            ready = watched(relay, until=lambda: lost_sessions(relay) >= 4)
        assert not any(ready), "it cannot publish, and says that it is ready"
        traffic.write(20)
        traffic.settle()
        traffic.judge()
        eventually(lambda: relay.health.report().ready)
    whys = [str(vars(record).get("why")) for record in caplog.records if record.getMessage() == "trying again"]
    assert len(whys) >= 4
    assert all("statement timeout" in why and "pg_blocking_pids" in why for why in whys)


def watched(relay: Relay, until: Callable[[], bool]) -> list[bool]:
    """What the relay says of itself in the meantime."""
    seen: list[bool] = []

    def look() -> bool:
        seen.append(relay.health.report().ready)
        return until()

    eventually(look)
    return seen
