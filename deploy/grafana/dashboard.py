"""Make txbox.json, the Grafana dashboard: `python -m deploy.grafana.dashboard`, or `--check` for drift.

A panel names its metrics by the queries it makes. One that no daemon tells cannot be drawn (KeyError), and what a panel
says when pointed at is the meaning that docs/metrics.md has.
"""

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from docs.made import keep
from docs.metrics_page import Metric, every

__all__ = ["named", "text"]

FILE = Path(__file__).with_name("txbox.json")

Json = dict[str, Any]

#: Grafana's grid is 24 wide
_WIDTH: Final = 24
_PROMETHEUS: Final = {"type": "prometheus", "uid": "${datasource}"}

#: selectors: what the variables on top of the dashboard choose
_RELAY: Final = 'namespace=~"$namespace", job=~"$relay"'
_CONSUMER: Final = 'namespace=~"$namespace", consumer=~"$consumer"'
_ALL: Final = 'namespace=~"$namespace"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel: queries by their legends."""

    title: str
    queries: dict[str, str]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    height: int = 8
    #: (from which value on, color), the first one from below all values
    steps: tuple[tuple[float | None, str], ...] = ((None, "text"),)
    #: what a value is shown as
    words: dict[int, str] = field(default_factory=dict)
    options: Json = field(default_factory=dict)
    stacked: bool = False


_GOOD_IF_NONE: Final = ((None, "green"), (1, "red"))


def _rate(metric: str, selector: str, *by: str) -> str:
    return f"sum by ({', '.join(by)}) (rate({metric}{{{selector}}}[$__rate_interval]))"


def _quantile(q: float, metric: str, selector: str, *by: str) -> str:
    return f"histogram_quantile({q}, {_rate(f'{metric}_bucket', selector, *by, 'le')})"


def _stat(title: str, query: str, unit: str = "short", **more: Any) -> Panel:
    return Panel(title=title, queries={"": query}, unit=unit, kind="stat", width=3, height=4, **more)


#: What to see first: numbers that are green when all is well.
_GLANCE: Final = (
    _stat(
        "Leaders",
        f"sum(txbox_relay_leader{{{_RELAY}}})",
        steps=((None, "red"), (1, "green")),
    ),
    _stat(
        "Standbys",
        f"count(txbox_relay_leader{{{_RELAY}}} == 0) or vector(0)",
        steps=((None, "orange"), (1, "green")),
    ),
    _stat(
        "Oldest row that waits",
        f"max(txbox_outbox_oldest_pending_age_seconds{{{_RELAY}}})",
        "s",
        steps=((None, "green"), (10, "orange"), (60, "red")),
    ),
    _stat("Held by the relay", f"max(txbox_outbox_held_messages{{{_RELAY}}})", steps=_GOOD_IF_NONE),
    _stat(
        "Consumers late by",
        f"max(txbox_consumer_lag_seconds{{{_CONSUMER}}})",
        "s",
        steps=((None, "green"), (30, "orange"), (120, "red")),
    ),
    _stat(
        "Messages behind",
        f"sum(txbox_consumer_lag_messages{{{_CONSUMER}}})",
    ),
    _stat(
        "Dead messages",
        f'sum(max by (consumer) (txbox_consumer_held_messages{{{_CONSUMER}, state="dead"}}))',
        steps=_GOOD_IF_NONE,
    ),
    _stat(
        "Checks that fail",
        f"count(txbox_check_ok{{{_ALL}}} == 0) or vector(0)",
        steps=_GOOD_IF_NONE,
    ),
)

_RELAYS: Final = (
    Panel(
        title="Published, by topic",
        queries={"{{topic}}": _rate("txbox_relay_published_total", _RELAY, "topic")},
        unit="mps",
        stacked=True,
    ),
    Panel(
        title="From written to acked",
        queries={
            "p50": _quantile(0.5, "txbox_relay_delivery_latency_seconds", _RELAY),
            "p99": _quantile(0.99, "txbox_relay_delivery_latency_seconds", _RELAY),
        },
        unit="s",
    ),
    Panel(
        title="Who leads",
        queries={"{{instance}}": f"txbox_relay_leader{{{_RELAY}}}"},
        kind="state-timeline",
        words={1: "leads", 0: "stands by"},
        steps=((None, "text"), (1, "green")),
        options={"showValue": "never", "mergeValues": True, "rowHeight": 0.8},
    ),
    Panel(title="Rows that wait", queries={"waiting": f"max by (job) (txbox_outbox_pending_messages{{{_RELAY}}})"}),
    Panel(
        title="How long the oldest has waited",
        queries={
            "row above the cursor": f"max by (job) (txbox_outbox_oldest_pending_age_seconds{{{_RELAY}}})",
            "since the last ack": f"time() - max by (job) (txbox_relay_last_success_timestamp_seconds{{{_RELAY}}} > 0)",
        },
        unit="s",
    ),
    Panel(
        title="Gaps: transactions that are still open",
        queries={
            "gaps": f"max by (job) (txbox_relay_gaps{{{_RELAY}}})",
            "age of the oldest, s": f"max by (job) (txbox_relay_oldest_gap_age_seconds{{{_RELAY}}})",
        },
    ),
    Panel(
        title="One read of the outbox",
        queries={
            "p50": _quantile(0.5, "txbox_relay_read_seconds", _RELAY),
            "p99": _quantile(0.99, "txbox_relay_read_seconds", _RELAY),
        },
        unit="s",
    ),
    Panel(
        title="Rows a read, and in flight",
        queries={
            "rows a read, p50": _quantile(0.5, "txbox_relay_batch_messages", _RELAY),
            "in flight": f"max by (job) (txbox_relay_in_flight_messages{{{_RELAY}}})",
        },
    ),
    Panel(
        title="What goes wrong",
        queries={
            "{{topic}} {{code}}": f"sum by (topic, code) (increase(txbox_relay_failures_total{{{_RELAY}}}[5m]))",
            "reconnects: {{server}}": f"sum by (server) (increase(txbox_relay_reconnects_total{{{_RELAY}}}[5m]))",
            "late rows": f"sum(increase(txbox_relay_late_rows_total{{{_RELAY}}}[5m]))",
        },
    ),
    Panel(
        title="Held by the relay",
        queries={"held": f"max by (job) (txbox_outbox_held_messages{{{_RELAY}}})"},
    ),
    Panel(title="Pruned", queries={"rows": _rate("txbox_relay_pruned_total", _RELAY, "job")}, unit="rowsps"),
    Panel(
        title="How often the lead was taken",
        queries={"{{job}}": f"max by (job) (txbox_relay_epoch{{{_RELAY}}})"},
    ),
)

_CONSUMERS: Final = (
    Panel(
        title="Messages, by what became of them",
        queries={"{{consumer}} {{outcome}}": _rate("txbox_consumer_messages_total", _CONSUMER, "consumer", "outcome")},
        unit="mps",
        stacked=True,
    ),
    Panel(
        title="From written to handled",
        queries={
            "{{consumer}} p50": _quantile(0.5, "txbox_consumer_end_to_end_latency_seconds", _CONSUMER, "consumer"),
            "{{consumer}} p99": _quantile(0.99, "txbox_consumer_end_to_end_latency_seconds", _CONSUMER, "consumer"),
        },
        unit="s",
    ),
    Panel(
        title="Late by",
        queries={"{{consumer}}": f"max by (consumer) (txbox_consumer_lag_seconds{{{_CONSUMER}}})"},
        unit="s",
    ),
    Panel(
        title="Messages behind, by topic",
        queries={
            "{{consumer}} {{topic}}": f"sum by (consumer, topic) (txbox_consumer_lag_messages{{{_CONSUMER}}})",
        },
    ),
    Panel(
        title="A handler's time, p99, by type",
        queries={
            "{{consumer}} {{type}}": _quantile(0.99, "txbox_consumer_handler_seconds", _CONSUMER, "consumer", "type")
        },
        unit="s",
    ),
    Panel(
        title="Held: waiting and dead",
        queries={
            "{{consumer}} {{state}}": f"max by (consumer, state) (txbox_consumer_held_messages{{{_CONSUMER}}})",
        },
    ),
    Panel(
        title="Transactions, by how they ended",
        queries={
            "{{consumer}} {{outcome}}": _rate("txbox_consumer_transactions_total", _CONSUMER, "consumer", "outcome")
        },
        unit="ops",
    ),
    Panel(
        title="Partitions, by process",
        queries={"{{consumer}} {{instance}}": f"txbox_consumer_partitions{{{_CONSUMER}}}"},
        stacked=True,
    ),
    Panel(
        title="Handlers at work",
        queries={
            "{{consumer}}": _rate("txbox_consumer_handler_seconds_sum", _CONSUMER, "consumer"),
        },
    ),
)

_PROCESSES: Final = (
    Panel(
        title="Checks of /readyz",
        queries={"{{job}} {{instance}} {{check}}": f"txbox_check_ok{{{_ALL}}}"},
        kind="state-timeline",
        width=16,
        height=10,
        words={1: "ok", 0: "fails"},
        steps=((None, "red"), (1, "green")),
        options={"showValue": "never", "mergeValues": True, "rowHeight": 0.8},
    ),
    Panel(
        title="Versions",
        queries={
            "{{version}}, Python {{python}}, librdkafka {{librdkafka}}": (
                f"count by (version, python, librdkafka) (txbox_build_info{{{_ALL}}})"
            ),
            "tables: version {{version}}": f'count_values by () ("version", txbox_schema_version{{{_ALL}}} > 0)',
            "source: {{source}}": f"count by (source) (txbox_relay_source_info{{{_RELAY}}})",
        },
        kind="bargauge",
        height=10,
        options={"orientation": "horizontal", "displayMode": "basic"},
    ),
)

_ROWS: Final = {"At a glance": _GLANCE, "Relay": _RELAYS, "Consumers": _CONSUMERS, "Processes": _PROCESSES}


def named(query: str) -> set[str]:
    """Return the names of our metrics in a PromQL query, a histogram's by what it is called in docs/metrics.md."""
    known = every()
    found = set(re.findall(r"\btxbox_\w+", query))
    parts = {name: re.sub(r"_(bucket|sum|count)$", "", name) for name in found}
    return {whole if whole in known and known[whole].type == "histogram" else name for name, whole in parts.items()}


def _panel(number: int, panel: Panel, x: int, y: int, metrics: dict[str, Metric]) -> Json:
    queries = panel.queries.items()
    names = sorted({name for _, query in queries for name in named(query)})
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": "\n\n".join(f"`{name}`: {metrics[name].meaning}" for name in names),
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": panel.height},
        "datasource": _PROMETHEUS,
        "targets": [
            {
                "refId": chr(ord("A") + n),
                "datasource": _PROMETHEUS,
                "expr": query,
                "legendFormat": legend,
                "range": panel.kind in ("timeseries", "state-timeline"),
                "instant": panel.kind not in ("timeseries", "state-timeline"),
            }
            for n, (legend, query) in enumerate(queries)
        ],
        "fieldConfig": {"defaults": _field(panel), "overrides": []},
        "options": _options(panel),
    }


def _field(panel: Panel) -> Json:
    shown = {str(value): {"text": word, "index": n} for n, (value, word) in enumerate(panel.words.items())}
    lines = {"fillOpacity": 10, "showPoints": "never", "stacking": {"mode": "normal" if panel.stacked else "none"}}
    return {
        "unit": panel.unit,
        "min": 0,
        "color": {"mode": "palette-classic" if panel.kind == "timeseries" else "thresholds"},
        "thresholds": {"mode": "absolute", "steps": [{"value": value, "color": color} for value, color in panel.steps]},
        "mappings": [{"type": "value", "options": shown}] if shown else [],
        "custom": lines if panel.kind == "timeseries" else {"fillOpacity": 70} if "timeline" in panel.kind else {},
    }


def _options(panel: Panel) -> Json:
    legend = {"displayMode": "list", "placement": "bottom", "showLegend": panel.kind == "timeseries", "calcs": []}
    match panel.kind:
        case "timeseries":
            return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}, **panel.options}
        case "state-timeline":
            return {"legend": legend, **panel.options}
        case "stat":
            return {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value", **panel.options}
        case _:
            return {"reduceOptions": {"calcs": ["lastNotNull"]}, **panel.options}


def _panels() -> Iterator[Json]:
    """Lay the panels out: a row a group, from left to right."""
    metrics, number, y = every(), 0, 0
    for title, group in _ROWS.items():
        number += 1
        grid = {"x": 0, "y": y, "w": _WIDTH, "h": 1}
        yield {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": grid, "panels": []}
        x, y = 0, y + 1
        for panel in group:
            if x + panel.width > _WIDTH:
                x, y = 0, y + panel.height
            number += 1
            yield _panel(number, panel, x, y, metrics)
            x += panel.width
        y += group[-1].height


def _variable(name: str, label: str, query: str) -> Json:
    """A variable that is filled from the metrics; All also takes series that do not have the label."""
    return {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": _PROMETHEUS,
        "query": {"query": query, "refId": name},
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"text": ["All"], "value": ["$__all"]},
        "refresh": 2,
        "sort": 1,
    }


def text() -> str:
    """Return the dashboard as it should be."""
    dashboard = {
        "uid": "txbox",
        "title": "txbox",
        "description": "Relays and consumers. Made by python -m deploy.grafana.dashboard.",
        "tags": ["txbox", "kafka", "postgresql"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {
            "list": [
                {
                    "type": "datasource",
                    "name": "datasource",
                    "label": "Prometheus",
                    "query": "prometheus",
                    "refresh": 1,
                },
                _variable("namespace", "Namespace", "label_values(txbox_build_info, namespace)"),
                _variable("relay", "Relay (job)", f"label_values(txbox_relay_leader{{{_ALL}}}, job)"),
                _variable("consumer", "Consumer", f"label_values(txbox_consumer_partitions{{{_ALL}}}, consumer)"),
            ]
        },
        "annotations": {
            "list": [
                {
                    "name": "Alerts",
                    "enable": True,
                    "iconColor": "red",
                    "datasource": _PROMETHEUS,
                    "expr": 'ALERTS{alertname=~"Txbox.*", alertstate="firing"}',
                    "titleFormat": "{{alertname}}",
                    "textFormat": "{{job}} {{consumer}}",
                }
            ]
        },
        "panels": list(_panels()),
    }
    return json.dumps(dashboard, indent=2) + "\n"


if __name__ == "__main__":
    sys.exit(keep(FILE, text(), "deploy.grafana.dashboard"))
