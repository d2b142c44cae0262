"""One server of a running sandbox ends and comes back at its port, with what it had promised to keep."""

from __future__ import annotations

import psycopg
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # re-exported without saying so

from txbox.sandbox import Sandbox, Servers


@pytest.mark.parametrize("end", ["kill", "stop", "stop_immediately"])
def test_postgres_comes_back_with_what_was_committed(sandbox: Sandbox, txbox_database: str, end: str):
    with psycopg.connect(txbox_database, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS id")
        getattr(sandbox.postgres, end)()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    sandbox.postgres.start()
    with psycopg.connect(txbox_database) as connection:
        assert connection.execute("SELECT id FROM kept").fetchone() == (7,)


def test_a_killed_broker_comes_back_with_what_it_acked(sandbox: Sandbox, txbox_servers: Servers, txbox_topic: str):
    client: dict[str, str | int | float | bool] = {"bootstrap.servers": txbox_servers.bootstrap_servers}
    admin = AdminClient(client)
    admin.create_topics([NewTopic(txbox_topic, 1)])[txbox_topic].result(30)
    producer = Producer(client | {"acks": "all"})
    producer.produce(txbox_topic, b"kept")
    assert producer.flush(30) == 0

    sandbox.kafka.kill(0)
    sandbox.kafka.start(0)

    consumer = Consumer(client | {"group.id": txbox_topic, "auto.offset.reset": "earliest"})
    consumer.subscribe([txbox_topic])
    message = consumer.poll(30)
    consumer.close()
    assert message is not None
    assert message.value() == b"kept"
