"""Make txbox.json, the Grafana dashboard: `python -m deploy.grafana.dashboard`, or `--check` for drift.

A panel names its metrics by the queries it makes. One that no daemon tells cannot be drawn (KeyError), and what a panel
says when pointed at is the meaning that docs/metrics.md has.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from deploy.grafana.panels import ALL, ROWS, Panel
from docs.made import keep
from docs.metrics_page import Metric, every

__all__ = ["named", "text"]

FILE = Path(__file__).with_name("txbox.json")

Json = dict[str, Any]

#: Grafana's grid is 24 wide
_WIDTH: Final = 24
_PROMETHEUS: Final = {"type": "prometheus", "uid": "${datasource}"}


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
    for title, group in ROWS.items():
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
                _variable("relay", "Relay (job)", f"label_values(txbox_relay_leader{{{ALL}}}, job)"),
                _variable("consumer", "Consumer", f"label_values(txbox_consumer_partitions{{{ALL}}}, consumer)"),
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
