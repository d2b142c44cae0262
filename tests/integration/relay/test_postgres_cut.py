"""A relay whose link to PostgreSQL is cut, in every phase of its work."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from tests.integration.relay import relay_process
from tests.integration.relay.traffic import Traffic
from tests.integration.running import Process, process, running
from tests.integration.topics import Topics
from tests.integration.toxiproxy import Proxy, Stream, through
from tests.waiting import eventually
from txbox.daemon import Backoff, Database, Kafka
from txbox.relay import Relay, RelayConfig

#: Bytes after which each connection is cut: in opening, what the database is like, lock, taking the lead, the read.
#: tests/soak has all that lie between.
CUTS: Final[dict[Stream, tuple[int, ...]]] = {
    "upstream": (40, 900, 3100, 3600, 5000),
    "downstream": (0, 400, 1700, 2300, 2450, 2800),
}

#: between two polls all acks come, so that the same bytes are always in the same statement
PACED: Final[dict[str, Any]] = {"poll_min": 0.1, "poll_max": 0.1, "on_undeliverable": "hold", "retention": 0.0}


def relay_behind(database: Database, kafka: Kafka, link: Proxy, **config: Any) -> Relay:
    """A relay behind the link, which does not wait long after an error."""
    relay = Relay(Database(url=through(database.url, link)), kafka, RelayConfig(**config))
    relay._backoff = Backoff(first=0.01, cap=0.05)
    return relay


def sample(relay: Relay, name: str, **labels: str) -> float:
    return relay.registry.get_sample_value(f"txbox_{name}", labels) or 0.0


def lost_sessions(relay: Relay) -> float:
    return sample(relay, "relay_reconnects_total", server="postgres")


@pytest.fixture
def traffic(database: Database, topics: Topics) -> Traffic:
    return Traffic(database, topics, topics.make(max_message_bytes="1000"))


def cut_after(relay: Relay, link: Proxy, stream: Stream, size: int, traffic: Traffic, *, refused: bool = False) -> None:
    """Let new rows meet a connection that ends after so many bytes, at least once; then let them pass."""
    link.cut()
    traffic.write(7)
    if refused:
        traffic.write_refused()
    with link.toxic("limit_data", stream, bytes=size):
        link.mend()
        before = lost_sessions(relay)
        eventually(lambda: lost_sessions(relay) >= before + 2)
    traffic.settle()


@pytest.mark.parametrize("stream", CUTS)
def test_cut_after_any_number_of_bytes(
    database: Database, kafka: Kafka, postgres_link: Proxy, traffic: Traffic, stream: Stream
) -> None:
    relay = relay_behind(database, kafka, postgres_link, **{**PACED, "retention": 0.001})
    with running(relay):
        for size in CUTS[stream]:
            cut_after(relay, postgres_link, stream, size, traffic)
        traffic.judge()
        eventually(lambda: traffic.one("SELECT count(*) FROM txbox.outbox") == 0)  # the pruner is back too


#: what keeps the server in the middle of what the leader asked it to do
HELD_UP = {
    "the save": "SELECT FROM txbox.relay_cursor FOR UPDATE",
    "the transaction that holds a row": "LOCK TABLE txbox.outbox_held IN SHARE MODE",
}


@pytest.mark.parametrize("within", HELD_UP)
def test_cut_within(database: Database, kafka: Kafka, postgres_link: Proxy, traffic: Traffic, within: str) -> None:
    waits = (
        "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'txbox relay default' "
        "AND datname = current_database() AND wait_event_type = 'Lock'"
    )
    relay = relay_behind(database, kafka, postgres_link, on_undeliverable="hold")
    with running(relay):
        traffic.write(20)
        traffic.settle()
        with psycopg.connect(database.url) as hostile:
            hostile.execute(HELD_UP[within].encode())
            traffic.write(20)
            if within != "the save":
                traffic.write_refused()
            eventually(lambda: traffic.one(waits))
            postgres_link.drop()
            eventually(lambda: lost_sessions(relay) >= 1)
        traffic.write(20)
        traffic.settle()
        # The server ends what it had begun: the save is there, the transaction has nobody to commit it.
        assert traffic.judge() <= (0 if within == "the save" else 20)


@contextmanager
def stopped(process: Process) -> Iterator[None]:
    """Wait until a failpoint has stopped the process; let it go on at the end of the block."""
    eventually(lambda: Path(f"/proc/{process.popen.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
    try:
        yield
    finally:
        os.kill(process.popen.pid, signal.SIGCONT)


@pytest.mark.parametrize("point", ["relay.read", "relay.produced", "relay.acked", "relay.saved"])
def test_cut_between(database: Database, kafka: Kafka, postgres_link: Proxy, traffic: Traffic, point: str) -> None:
    traffic.write(300)
    url = through(database.url, postgres_link)
    with process(relay_process.__name__, url, kafka.bootstrap_servers, failpoint=f"{point}:stop") as relay:
        with stopped(relay):
            postgres_link.drop()
        traffic.write(300)
        traffic.settle()
        relay.said("trying again")
        repeated = traffic.judge()
        assert relay.terminate() == 0
    assert point in ("relay.produced", "relay.acked") or not repeated


def test_a_save_whose_commit_was_not_heard_of_repeats_nothing(
    database: Database, kafka: Kafka, postgres_link: Proxy, traffic: Traffic
) -> None:
    traffic.write(300)
    url = through(database.url, postgres_link)
    with process(relay_process.__name__, url, kafka.bootstrap_servers, failpoint="relay.acked:stop") as relay:
        with ExitStack() as swallowed:
            with stopped(relay):
                swallowed.enter_context(postgres_link.toxic("timeout", "downstream", timeout=0))
            traffic.settle()
            assert "trying again" not in relay.log
        relay.said("trying again")
        traffic.write(300)
        traffic.settle()
        assert traffic.judge() == 0


def test_a_standby_whose_link_is_cut_stands_by_again_and_leads_when_it_is_time(
    database: Database, kafka: Kafka, postgres_link: Proxy, traffic: Traffic
) -> None:
    standby = relay_behind(database, kafka, postgres_link)
    leader = Relay(database, kafka)
    with running(leader):
        eventually(lambda: leader.health.report().role == "leader")
        with running(standby):
            for times in (1, 2, 3):
                eventually(lambda: standby.health.report().ready)
                postgres_link.drop()
                eventually(lambda: lost_sessions(standby) >= times)  # noqa: B023  # now
            eventually(lambda: standby.health.report().ready)
            assert (leader.health.report().role, standby.health.report().role) == ("leader", "standby")
            traffic.write(50)
            traffic.settle()
            leader.stop()
            eventually(lambda: standby.health.report().role == "leader")
            traffic.write(50)
            traffic.settle()
            assert traffic.judge() == 0
