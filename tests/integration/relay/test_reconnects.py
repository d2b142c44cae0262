"""What a relay must not carry from one connection to the next: see test_other_servers.py for its cursor."""

from contextlib import ExitStack

import psycopg
import pytest

from tests.integration.relay import relay_process
from tests.integration.running import process
from tests.integration.standby import anywhere, execute, power_cut, standby
from tests.integration.topics import Topics
from tests.waiting import eventually
from txbox.daemon import Kafka
from txbox.outbox import Message, Outbox
from txbox.sandbox.postgres import Postgres

DONE = "SELECT tail >= (SELECT max(seq) FROM txbox.outbox) AND gaps @> 1::bigint FROM txbox.relay_cursor"


@pytest.mark.parametrize("then", ["restart", "failover"])
def test_prepared_transaction_is_still_waited_for_on_another_connection(
    primary: Postgres, kafka: Kafka, topics: Topics, topic: str, then: str
) -> None:
    """Its virtual transaction is that of a session before, and another one afterwards: who goes by it voids the row."""
    with ExitStack() as stack:
        second = stack.enter_context(standby(primary))
        url = anywhere(primary, second)
        stack.enter_context(process(relay_process.__name__, url, kafka.bootstrap_servers))
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute("BEGIN")
            prepared = Outbox().add(conn, Message("Prepared", topic=topic))
            conn.execute("PREPARE TRANSACTION 'held'")
        passed(url, topic)
        if then == "restart":
            primary.restart()
        else:
            second.catch_up()
            power_cut(primary)
            second.promote()
        for _ in range(5):
            passed(url, topic)
        execute(second if then == "failover" else primary, "COMMIT PREPARED 'held'")
        eventually(lambda: str(prepared) in topics.ids(topic), within=60)


def passed(url: str, topic: str) -> None:
    """Publish one message; return when the relay has done it, and the first seq is still undecided."""
    with psycopg.connect(url, autocommit=True) as conn:
        with conn.transaction():
            Outbox().add(conn, Message("T", topic=topic))
        eventually(lambda: conn.execute(DONE).fetchone() == (True,), within=60)
