"""The dashboard: made of the code, only metrics that there are, and of a form that Grafana reads."""

import json
import re
from itertools import combinations
from typing import Any

import pytest

from deploy.grafana import dashboard
from deploy.grafana.dashboard import FILE, named
from deploy.grafana.panels import Panel
from docs.metrics_page import every

BOARD = json.loads(FILE.read_text())
PANELS: list[dict[str, Any]] = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]


def test_file_is_what_the_code_says():
    assert FILE.read_text() == dashboard.text()


def test_every_metric_is_on_the_dashboard_and_no_other():
    assert {name for query in QUERIES for name in named(query)} == every().keys()


def test_panel_of_a_metric_that_there_is_not_is_refused(monkeypatch: pytest.MonkeyPatch):
    typo = Panel(title="Typo", queries={"": "rate(txbox_relay_publisht_total[5m])"})
    monkeypatch.setattr(dashboard, "ROWS", {"At a glance": (typo,)})
    with pytest.raises(KeyError, match="txbox_relay_publisht_total"):
        dashboard.text()


def test_series_of_a_histogram_are_known_by_its_name():
    assert named("a_bucket{} / txbox_relay_read_seconds_sum") == {"txbox_relay_read_seconds"}
    assert named("txbox_relay_gaps_count") == {"txbox_relay_gaps_count"}, "a gauge has no count"


def test_variables_are_those_that_queries_use():
    variables = [variable["name"] for variable in BOARD["templating"]["list"]]
    assert variables == ["datasource", "namespace", "relay", "consumer"]
    used = {name for query in QUERIES for name in re.findall(r"\$(\w+)", query)} - {"__rate_interval"}
    assert used == set(variables) - {"datasource"}
    assert {panel["datasource"]["uid"] for panel in PANELS} == {"${datasource}"}


def test_panels_lie_side_by_side():
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
    for one, other in combinations((panel["gridPos"] for panel in BOARD["panels"]), 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"], (one, other)
        assert one["x"] + one["w"] <= 24
