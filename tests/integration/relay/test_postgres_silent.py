"""A link to PostgreSQL that swallows everything and tells nobody: no reset, and keepalives are answered."""

import time
from contextlib import closing

import pytest

from tests.integration.relay.test_postgres_cut import lost_sessions
from tests.integration.relay.traffic import Traffic
from tests.integration.running import running
from tests.integration.topics import Topics
from tests.integration.toxiproxy import Proxy, through
from tests.waiting import eventually
from txbox.daemon import Database, Kafka, postgres
from txbox.relay import Relay, ledger
from txbox.relay.ledger import Ledger

#: seconds of silence that the server allows here; 20 in earnest
ALLOWED = 2


@pytest.fixture
def hasty_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's limits, so short that a test can wait for them; tests/soak has the real ones."""
    settings = {name: f"{ALLOWED}s" if "session_timeout" in name else value for name, value in ledger._SETTINGS.items()}
    monkeypatch.setattr(ledger, "_SETTINGS", settings)


@pytest.fixture
def far(database: Database, postgres_link: Proxy, monkeypatch: pytest.MonkeyPatch) -> Database:
    """The database through the proxy; a server that is silent for 2 s is given up."""
    monkeypatch.setattr(postgres, "_GRACE", 1.0)
    return Database(url=through(database.url, postgres_link), statement_timeout=1.0)


@pytest.fixture
def traffic(database: Database, topics: Topics, topic: str) -> Traffic:
    return Traffic(database, topics, topic)


def test_a_leader_notices_the_silence_and_leads_again(
    far: Database, kafka: Kafka, postgres_link: Proxy, traffic: Traffic
) -> None:
    relay = Relay(far, kafka)
    with running(relay):
        traffic.write(20)
        traffic.settle()
        with postgres_link.silence():
            traffic.write(20)
            eventually(lambda: lost_sessions(relay) >= 1)
            assert "has not answered" in relay.health.report().checks["database"].why
        traffic.settle()
        assert traffic.judge() == 0


@pytest.mark.usefixtures("hasty_server")
def test_a_standby_with_a_good_link_takes_over_from_a_leader_without_one(
    database: Database, far: Database, kafka: Kafka, postgres_link: Proxy, traffic: Traffic
) -> None:
    leader, standby = Relay(far, kafka), Relay(database, kafka)
    with running(leader):
        eventually(lambda: leader.health.report().role == "leader")
        with running(standby):
            traffic.write(20)
            traffic.settle()
            with postgres_link.silence():
                traffic.write(20)
                traffic.settle()
                assert standby.health.report().role == "leader"
                eventually(lambda: leader.health.report().role == "standby")
            traffic.write(20)
            eventually(lambda: leader.health.report().ready)
            traffic.settle()
            assert traffic.judge() == 0
            assert traffic.one("SELECT epoch FROM txbox.relay_cursor") == 2


@pytest.mark.usefixtures("hasty_server")
@pytest.mark.parametrize("within", ["between transactions", "in a transaction"])
def test_the_server_frees_the_lead_of_one_that_says_nothing(database: Database, far: Database, within: str) -> None:
    with closing(Ledger.open(far, "default", {})) as lost, closing(Ledger.open(database, "default", {})) as other:
        assert lost.lock()
        lost.take("lost", lost.inspect())
        if within == "in a transaction":
            lost.conn.execute("BEGIN")
        began = time.monotonic()
        eventually(other.lock)
        assert time.monotonic() - began > ALLOWED / 2
