"""What is measured, each in a process of its own: `python -m bench.work NAME key=value ...` prints one JSON object."""

import json
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from confluent_kafka import KafkaError, Message, Producer

from txbox.consumer import Consumer, ConsumerConfig, Received, Runner
from txbox.daemon import Database, Kafka, Stop, producer_settings
from txbox.outbox.envelope import record_headers
from txbox.relay import Relay, RelayConfig

__all__ = ["consume", "idle", "latency", "raw_producer", "relay"]

Result = dict[str, float]


@contextmanager
def measured(messages: int, result: Result) -> Iterator[None]:
    """Fill `result` with messages a second, and CPU microseconds of this process a message."""
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    yield
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    result |= {"per_second": messages / seconds, "cpu_us": cpu / messages * 1e6, "seconds": seconds}
    result |= {"max_rss_mb": after.ru_maxrss / 1024}  # Linux counts kilobytes


def relay(*, database_url: str, bootstrap_servers: str, name: str, messages: str) -> Result:
    """Drain the whole outbox by the relay: connecting, looking up the topic and the last save included."""
    result: Result = {}
    daemon = Relay(Database(url=database_url), Kafka(bootstrap_servers=bootstrap_servers), RelayConfig(name=name))
    with measured(int(messages), result):
        daemon.run(once=True)
    return result


def latency(*, database_url: str, bootstrap_servers: str, name: str, messages: str) -> Result:
    """Publish what comes until so many messages were acked; milliseconds from each one's created_at to its ack."""
    result: Result = {}
    stop, taken = Stop(), list[float]()
    daemon = Relay(
        Database(url=database_url), Kafka(bootstrap_servers=bootstrap_servers), RelayConfig(name=name), stop=stop
    )
    count = daemon._metrics.acked  # noqa: SLF001  # its histogram is too coarse

    def acked(topics: list[str], created: list[int], now: float) -> None:
        count(topics, created, now)
        taken.extend(now * 1000 - at for at in created)
        if len(taken) >= int(messages):
            stop.request()

    daemon._metrics.acked = acked  # type: ignore[method-assign]  # noqa: SLF001
    with measured(int(messages), result):
        daemon.run()
    taken = sorted(taken[len(taken) // 10 :])  # the first ones waited until it led
    return result | {"p50_ms": taken[len(taken) // 2], "p99_ms": taken[len(taken) * 99 // 100]}


def idle(*, database_url: str, bootstrap_servers: str, name: str, seconds: str) -> Result:
    """Lead for so many seconds with nothing to publish."""
    result: Result = {}
    daemon = Relay(Database(url=database_url), Kafka(bootstrap_servers=bootstrap_servers), RelayConfig(name=name))
    with measured(1, result):
        timer = threading.Timer(float(seconds), daemon.stop)
        timer.start()
        daemon.run()
    return result | {"cpu_ms_per_second": result["cpu_us"] / 1000 / result["seconds"]}


def raw_producer(*, bootstrap_servers: str, topic: str, messages: str, size: str) -> Result:
    """The limit: a loop that does nothing but produce, with the relay's settings, headers and callback."""
    result: Result = {}
    kafka, config = Kafka(bootstrap_servers=bootstrap_servers), RelayConfig()
    settings = producer_settings(
        kafka, batch_size=1_000_000, in_flight=config.in_flight, in_flight_size=config.in_flight_size
    )
    payload, acked = b"x" * int(size), 0

    def delivered(error: KafkaError | None, _message: Message) -> None:
        nonlocal acked
        assert error is None, error
        acked += 1

    identity = "01890a5d-ac96-774b-bcce-b302099a8057"
    with measured(int(messages), result):  # connecting included, as the relay's is
        producer = Producer(settings)
        producer.list_topics(topic)
        for n in range(int(messages)):
            headers = record_headers(identity, "OrderPlaced", None)
            while True:
                try:
                    producer.produce(topic, payload, str(n % 1000), headers=headers, on_delivery=delivered)
                    break
                except BufferError:
                    producer.poll(0.01)
            if n % 5000 == 0:
                producer.poll(0)
        producer.flush()
    assert acked == int(messages)
    return result


def consume(
    *, database_url: str, bootstrap_servers: str, topic: str, name: str, messages: str, max_batch: str
) -> Result:
    """Handle `messages` messages with one INSERT each, from the assignment of the partitions to the last commit."""
    result: Result = {}
    consumer, count, limit = Consumer(name, topics=[topic]), 0, int(messages)
    runner = Runner(
        consumer,
        Database(url=database_url),
        Kafka(bootstrap_servers=bootstrap_servers),
        ConsumerConfig(max_batch=int(max_batch)),
    )
    timer = measured(limit, result)

    @consumer.handler()
    def effect(conn: psycopg.Connection[Any], message: Received) -> None:
        nonlocal count
        if count == 0:
            timer.__enter__()
        conn.execute("INSERT INTO effects (message_id) VALUES (%s)", (message.id,))
        count += 1
        if count == limit:
            timer.__exit__(None, None, None)
            runner.stop()

    runner.run()
    return result


_WORK: dict[str, Callable[..., Result]] = {
    work.__name__: work for work in (relay, latency, idle, raw_producer, consume)
}

if __name__ == "__main__":
    arguments = dict(argument.split("=", 1) for argument in sys.argv[2:])
    print(json.dumps(_WORK[sys.argv[1]](**arguments)))
