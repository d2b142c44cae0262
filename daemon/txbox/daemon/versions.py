"""Which versions run, as metrics."""

import platform
from importlib.metadata import version

import confluent_kafka
from prometheus_client import CollectorRegistry, Gauge

__all__ = ["build_info"]


def build_info(registry: CollectorRegistry) -> None:
    """Add `txbox_build_info` to the registry."""
    gauge = Gauge(
        "txbox_build_info",
        "1, with the versions that run as labels.",
        ["version", "python", "librdkafka"],
        registry=registry,
    )
    gauge.labels(version("txbox"), platform.python_version(), confluent_kafka.libversion()[0]).set(1)
