"""`make bench`: all measurements, on servers of their own."""

import platform
import sys
from importlib.metadata import version
from pathlib import Path

import confluent_kafka

from bench import consumer, relay, writers
from bench.figures import Figure, show
from bench.stage import stage


def main(chosen: list[str]) -> int:
    """Run all measurements, or those that are named; return 1 if a goal was missed."""
    all_ = {
        "drain": relay.drain,
        "open": relay.open_transactions,
        "latency": relay.latency,
        "backlog": relay.backlog,
        "idle": relay.idle,
        "writers": writers.writers,
        "pruning": writers.pruning,
        "batches": consumer.batches,
        "failing": consumer.failing,
        "sharing": consumer.sharing,
        "hop": consumer.hop,
    }
    figures: list[Figure] = []
    with stage() as on:
        for name in chosen or all_:
            print(f"measuring {name} ...", file=sys.stderr)
            figures += all_[name](on)
        versions = {
            "txbox": version("txbox"),
            "Python": platform.python_version(),
            "PostgreSQL": on.servers.postgres_version,
            "Kafka": on.servers.kafka_version,
            "librdkafka": confluent_kafka.libversion()[0],
        }
    show(figures, versions, Path("bench.json"))
    return 0 if all(figure.met is not False for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
