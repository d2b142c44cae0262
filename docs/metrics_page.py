"""Make docs/metrics.md from the metrics themselves: `python -m docs.metrics_page`, or `--check` for drift."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from docs.made import keep
from txbox.consumer.metrics import ConsumerMetrics
from txbox.daemon import Health
from txbox.daemon.health import checks
from txbox.daemon.versions import build_info
from txbox.relay.metrics import RelayMetrics

__all__ = ["Metric", "consumer", "every", "relay", "text"]

PAGE = Path(__file__).with_name("metrics.md")

#: what the values count, where a name does not end with it
_UNITS: Final = {
    "txbox_relay_published": "messages",
    "txbox_relay_failures": "messages",
    "txbox_relay_pruned": "rows",
    "txbox_relay_late_rows": "rows",
    "txbox_relay_reconnects": "terms",
    "txbox_relay_gaps": "ranges",
    "txbox_relay_epoch": "terms",
    "txbox_relay_leader": "0 or 1",
    "txbox_relay_source_info": "1",
    "txbox_consumer_partitions": "partitions",
    "txbox_consumer_transactions": "transactions",
    "txbox_schema_version": "version",
    "txbox_build_info": "1",
    "txbox_check_ok": "0 or 1",
}

_PAGE: Final = """\
# Metrics

Made by `python -m docs.metrics_page`.

On `/metrics` of both daemons, in Prometheus' format. No message id, key or error text is ever a label. The rules
that tell somebody are in `deploy/prometheus/txbox.rules.yml`, what to do then in [alerts](alerts.md); the dashboard is
`deploy/grafana/txbox.json`.

A histogram is scraped as `.._bucket`, `.._sum` and `.._count`. What a relay tells of the outbox (`txbox_outbox_..`,
gaps, in flight) its leader knows, and standbys have at 0; what a consumer tells of held messages each of its processes
knows of all: take the `max` over processes, never the sum. Messages, lag and partitions are each process's own: take
the `sum`.

Give the replicas of one relay a Prometheus job of their own: rules and dashboard tell relays apart by `namespace` and
`job`. Consumers may share one, their name is a label.

## Relay (port 9464)

{relay}

## Consumer (port 9465)

{consumer}

## Both

{both}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric, as it is scraped."""

    name: str
    type: str
    unit: str
    labels: tuple[str, ...]
    meaning: str


class _Noting(CollectorRegistry):
    """A registry that can tell what was put into it."""

    def __init__(self) -> None:
        super().__init__()
        self.collectors: list[Collector] = []

    def register(self, collector: Collector) -> None:
        super().register(collector)
        self.collectors.append(collector)


def relay() -> dict[str, Metric]:
    """Return what a relay tells, by name."""
    registry = _Noting()
    RelayMetrics(registry)
    return _metrics(registry)


def consumer() -> dict[str, Metric]:
    """Return what a consumer tells, by name."""
    registry = _Noting()
    ConsumerMetrics("billing", registry)
    return _metrics(registry)


def daemon() -> dict[str, Metric]:
    """Return what every daemon tells, by name."""
    registry = _Noting()
    build_info(registry)
    checks(Health("database", role="relay"), registry)
    return _metrics(registry)


def every() -> dict[str, Metric]:
    """Return all of them, by name."""
    return relay() | consumer() | daemon()


def _metrics(registry: _Noting) -> dict[str, Metric]:
    found = (metric for collector in registry.collectors for metric in _described(collector))
    return {metric.name: metric for metric in found}


def _described(collector: Collector) -> Iterator[Metric]:
    for family in collector.collect():
        # prometheus_client names labels in no public attribute: a metric has them, or the family of one that is made
        # at each scrape.
        labels: tuple[str, ...] = getattr(collector, "_labelnames", ()) or getattr(family, "_labelnames", ())
        yield Metric(
            name=family.name + ("_total" if family.type == "counter" else ""),
            type=family.type,
            unit=_unit(family.name),
            labels=tuple(labels),
            meaning=family.documentation,
        )


def _unit(name: str) -> str:
    """Return what a metric counts. Raises KeyError for one that is nowhere said to count anything."""
    if name.endswith("_timestamp_seconds"):
        return "Unix time"
    unit = name.rpartition("_")[2]
    return unit if unit in ("seconds", "messages") else _UNITS[name]


def _table(metrics: dict[str, Metric]) -> str:
    rows = (f"| `{m.name}` | {m.type} | {m.unit} | {', '.join(m.labels)} | {m.meaning} |" for m in metrics.values())
    return "\n".join(("| name | type | unit | labels | meaning |", "|---|---|---|---|---|", *rows))


def text() -> str:
    """Return the page as it should be."""
    ours, theirs, both = relay(), consumer(), daemon()
    both |= {name: ours[name] for name in ours.keys() & theirs.keys()}
    tables = {"relay": ours, "consumer": theirs}
    alone = {room: {name: m for name, m in found.items() if name not in both} for room, found in tables.items()}
    return _PAGE.format(both=_table(both), **{room: _table(found) for room, found in alone.items()})


if __name__ == "__main__":
    sys.exit(keep(PAGE, text(), "docs.metrics_page"))
