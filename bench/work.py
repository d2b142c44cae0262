"""What is measured, each in a process of its own: `python -m bench.work NAME key=value ...` prints one JSON object."""

import json
import sys
import threading
from collections.abc import Callable

from confluent_kafka import KafkaError, Message, Producer

from bench.handle import consume, consume_naively, hop, sell
from bench.measure import Result, measured
from txbox.daemon import Database, Kafka, Stop, producer_settings
from txbox.outbox.envelope import record_headers
from txbox.relay import Relay, RelayConfig

__all__ = ["idle", "latency", "raw_producer", "relay"]


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


_WORK: dict[str, Callable[..., Result]] = {
    work.__name__: work for work in (relay, latency, idle, raw_producer, consume, consume_naively, hop, sell)
}

if __name__ == "__main__":
    arguments = dict(argument.split("=", 1) for argument in sys.argv[2:])
    print(json.dumps(_WORK[sys.argv[1]](**arguments)))
