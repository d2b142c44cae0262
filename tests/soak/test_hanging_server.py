"""A primary that hangs: its machine still answers, so that no time-out of TCP notices it."""

import signal
import urllib.error
import urllib.request

import psycopg

from tests.integration.running import process
from tests.integration.sandbox.conftest import new_open_folder
from tests.integration.standby import anywhere, server, standby
from tests.integration.topics import Topics
from tests.waiting import eventually
from txbox.daemon import Kafka
from txbox.outbox import Message, Outbox
from txbox.sandbox.postgres import Postgres
from txbox.sandbox.processes import children
from txbox.sandbox.servers import free_ports
from txbox.schema import migrate


def test_relay_of_a_server_that_hangs_is_no_longer_alive_and_the_next_one_finds_the_new_primary(
    kafka: Kafka, topics: Topics, topic: str
) -> None:
    with new_open_folder() as folder, server(folder / "primary") as primary, standby(primary) as second:
        with psycopg.connect(primary.url, autocommit=True) as conn:
            migrate(conn)
        [port] = free_ports(1)
        servers = ("--database-url", anywhere(primary, second), "--bootstrap-servers", kafka.bootstrap_servers)
        command = ("txbox.cli", "relay", "run", *servers, "--http-port", str(port))
        ids = write(primary, topic)
        with process(*command) as relay:
            eventually(lambda: topics.count(topic) >= 5, within=60)
            assert is_alive(port)
            second.catch_up()
            freeze(primary)
            second.promote()
            ids += write(second, topic)
            eventually(lambda: not is_alive(port), within=120)
            relay.kill()
        with process(*command):
            eventually(lambda: topics.count(topic) >= 10, within=60)
    assert list(dict.fromkeys(topics.ids(topic))) == ids


def write(server: Postgres, topic: str) -> list[str]:
    """Commit five messages; return their ids."""
    with psycopg.connect(server.url) as conn:
        return list(map(str, Outbox().add_many(conn, (Message("T", topic=topic) for _ in range(5)))))


def freeze(server: Postgres) -> None:
    """Stop all processes of a server where they are."""
    pid = server.process.pid
    assert pid is not None
    for session in children(pid):
        session.signal(signal.SIGSTOP)
    server.process.signal(signal.SIGSTOP)


def is_alive(port: int) -> bool:
    """What an orchestrator asks."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=5) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError:
        return False
