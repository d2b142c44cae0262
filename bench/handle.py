"""What is measured of the consumer, each in a process of its own."""

import json
import random
import threading
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import psycopg
from confluent_kafka import Consumer as KafkaConsumer
from confluent_kafka import Producer

from bench.measure import Result, measured
from txbox.consumer import Consumer, ConsumerConfig, Received, Runner
from txbox.consumer.outcomes import Committed
from txbox.daemon import Database, Kafka, Stop, consumer_settings

__all__ = ["consume", "consume_naively", "hop", "sell"]

_INSERT = "INSERT INTO effects (message_id) VALUES (%s)"


def consume(
    *,
    database_url: str,
    bootstrap_servers: str,
    topic: str,
    name: str,
    messages: str,
    max_batch: str = "2000",
    bad_keys: str = "0",
) -> Result:
    """Handle `messages` messages with one INSERT each, from the first one's handler to the last one's commit.

    Of a thousand keys so many are bad: their messages always fail, and do not count.
    """
    result: Result = {}
    consumer, limit, bad, done = Consumer(name, topics=[topic]), int(messages), int(bad_keys), 0
    config = ConsumerConfig(max_batch=int(max_batch))
    runner = Runner(consumer, Database(url=database_url), Kafka(bootstrap_servers=bootstrap_servers), config)
    timer = measured(limit, result)
    begin = iter([timer.__enter__])

    @consumer.handler()
    def effect(conn: psycopg.Connection[Any], message: Received) -> None:
        next(begin, lambda: None)()
        conn.execute(_INSERT, (message.id,))
        if int(message.key or 0) % 1000 < bad:
            raise ValueError

    def committed(outcome: Committed) -> None:
        nonlocal done
        done += len(outcome.handled)
        if done >= limit:
            timer.__exit__(None, None, None)
            runner.stop()

    _on_commit(runner, committed)
    runner.run()
    return result


def consume_naively(*, database_url: str, bootstrap_servers: str, topic: str, name: str, messages: str) -> Result:
    """Do the same without an inbox: as many in a transaction, offsets afterwards; a crash handles them again."""
    result: Result = {}
    settings = consumer_settings(Kafka(bootstrap_servers=bootstrap_servers), group=name, session_timeout=10.0)
    consumer, left = KafkaConsumer(settings), int(messages)
    consumer.subscribe([topic])
    with psycopg.connect(database_url, autocommit=True) as conn:
        found = consumer.consume(1, 30)
        with measured(left, result):
            while left > 0:
                with conn.transaction():
                    for message in found:
                        headers = dict(message.headers() or [])
                        json.loads(message.value() or b"null")
                        conn.execute(_INSERT, (str(headers["id"], "utf-8"),))  # type: ignore[arg-type]
                left -= len(found)
                consumer.commit(asynchronous=True)
                found = consumer.consume(500, 0.05)
    consumer.close()
    return result


def hop(*, database_url: str, bootstrap_servers: str, topic: str, name: str, messages: str) -> Result:
    """Milliseconds from a message's being produced to the commit of its effect, where nothing else is going on."""
    consumer, taken, done = Consumer(name, topics=[topic]), list[float](), threading.Event()
    runner = Runner(consumer, Database(url=database_url), Kafka(bootstrap_servers=bootstrap_servers))

    @consumer.handler()
    def effect(conn: psycopg.Connection[Any], message: Received) -> None:
        conn.execute(_INSERT, (message.id,))

    _on_commit(runner, lambda _: done.set())
    thread = threading.Thread(target=runner.run)
    thread.start()
    producer = Producer({"bootstrap.servers": bootstrap_servers, "linger.ms": 0})
    for _ in range(int(messages) + 5):  # the first ones wait for the group
        done.clear()
        began = time.perf_counter()
        producer.produce(topic, b"{}", headers=[("id", str(uuid4())), ("type", "T")])
        producer.flush()
        done.wait(30)
        taken.append(time.perf_counter() - began)
        time.sleep(random.uniform(0.02, 0.12))  # so as to meet the loop anywhere
    runner.stop()
    thread.join()
    taken = sorted(taken[5:])
    return {"p50_ms": taken[len(taken) // 2] * 1000, "p99_ms": taken[len(taken) * 99 // 100] * 1000}


def sell(*, database_url: str, bootstrap_servers: str, topic: str, name: str) -> Result:
    """Change one of a thousand rows a message, and note when, until SIGTERM."""
    consumer, stop = Consumer(name, topics=[topic]), Stop()
    runner = Runner(consumer, Database(url=database_url), Kafka(bootstrap_servers=bootstrap_servers), stop=stop)

    @consumer.handler()
    def effect(conn: psycopg.Connection[Any], message: Received) -> None:
        conn.execute("UPDATE stock SET sold = sold + 1 WHERE n = %s", (message.id.int % 1000,))
        conn.execute(_INSERT, (message.id,))

    with stop.on_signals():
        runner.run()
    return {}


def _on_commit(runner: Runner, tell: Callable[[Committed], None]) -> None:
    """Tell of each commit: a handler may run again, a commit is for good."""
    count = runner._metrics.committed  # noqa: SLF001

    def committed(outcome: Committed) -> None:
        count(outcome)
        tell(outcome)

    runner._metrics.committed = committed  # type: ignore[method-assign]  # noqa: SLF001
