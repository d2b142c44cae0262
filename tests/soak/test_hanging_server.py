"""A primary that hangs: its machine still answers, so that no time-out of TCP notices it."""

import signal

import psycopg

from tests.integration.relay import relay_process
from tests.integration.running import process
from tests.integration.sandbox.conftest import new_open_folder
from tests.integration.standby import anywhere, server, standby
from tests.integration.topics import Topics
from tests.waiting import eventually
from txbox.daemon import Kafka
from txbox.outbox import Message, Outbox
from txbox.sandbox.postgres import Postgres
from txbox.sandbox.processes import children
from txbox.schema import migrate


def test_relay_of_a_server_that_hangs_goes_on_with_the_new_primary(kafka: Kafka, topics: Topics, topic: str) -> None:
    with new_open_folder() as folder, server(folder / "primary") as primary, standby(primary) as second:
        with psycopg.connect(primary.url, autocommit=True) as conn:
            migrate(conn)
        url = anywhere(primary, second)
        with process(relay_process.__name__, url, kafka.bootstrap_servers):
            ids = write(primary, topic)
            eventually(lambda: topics.count(topic) >= 5, within=60)
            second.catch_up()
            freeze(primary)
            second.promote()
            ids += write(second, topic)
            eventually(lambda: topics.count(topic) >= 10, within=120)
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
