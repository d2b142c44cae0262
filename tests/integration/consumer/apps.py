"""A consumer in a process of its own: python -m tests.integration.consumer.apps DATABASE KAFKA TOPIC [INSTANCE]."""

import logging
import os
import sys

from psycopg import Connection

from txbox.consumer import Consumer, ConsumerConfig, Received, Runner
from txbox.daemon import Database, Kafka, Stop
from txbox.daemon.log import configure

_log = logging.getLogger(__name__)


def add_effect(conn: Connection, message: Received) -> None:
    """Note in the table `effect` that a message had its effect."""
    conn.execute("INSERT INTO effect (id, key) VALUES (%s, %s)", (message.id, message.key))


def main(database: str, kafka: str, topic: str, instance: str = "") -> None:
    configure(format="json")
    consumer = Consumer(topic, topics=[topic])  # a group of the test's own
    consumer.handler("T")(add_effect)
    stop = Stop()
    # Kafka gives a static member its partitions back at once: a restart after kill -9 waits for no session to time out.
    config = ConsumerConfig(max_batch=50, session_timeout=6.0, instance_id=instance or None)
    runner = Runner(consumer, Database(url=database), Kafka(bootstrap_servers=kafka), config, stop=stop)
    with stop.on_signals():
        runner.run()
    _log.info("ended", extra={"pid": os.getpid()})


if __name__ == "__main__":
    main(*sys.argv[1:])
