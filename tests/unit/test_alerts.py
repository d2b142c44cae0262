"""Alert rules: only metrics that there are, a runbook for each, and cases in which it fires and does not."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.grafana.dashboard import named
from docs.metrics_page import every

ROOT = Path(__file__).parent.parent.parent
PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES: dict[str, dict[str, Any]] = {
    rule["alert"]: rule
    for group in yaml.safe_load((PROMETHEUS / "txbox.rules.yml").read_text())["groups"]
    for rule in group["rules"]
}
#: what Prometheus itself puts on a series, or where it was found
TARGET = {"job", "instance", "namespace"}


@pytest.mark.parametrize("alert", RULES)
def test_alert_asks_for_metrics_and_labels_that_there_are(alert: str):
    query = RULES[alert]["expr"]
    names = named(query)
    assert names - every().keys() == set()
    labels = {label for name in names for label in every()[name].labels} | TARGET
    asked = {label for group in re.findall(r"by \(([^)]*)\)", query) for label in group.split(", ")}
    asked |= set(re.findall(r"(\w+)=~?\"", query)) | set(re.findall(r"\$labels\.(\w+)", str(RULES[alert])))
    assert asked - labels == set()


@pytest.mark.parametrize("alert", RULES)
def test_alert_says_how_bad_it_is_and_where_its_runbook_stands(alert: str):
    rule = RULES[alert]
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    headings = re.findall(r"^## (\w+)$", (ROOT / page).read_text(), re.MULTILINE)
    assert anchor == alert.lower()
    assert alert in headings


def test_runbook_has_no_alert_that_is_gone():
    page = (ROOT / "docs" / "alerts.md").read_text()
    assert re.findall(r"^## (\w+)$", page, re.MULTILINE) == list(RULES), "in the order in which one acts on them"


@pytest.mark.parametrize("alert", RULES)
def test_alert_has_a_case_that_fires_and_one_that_does_not(alert: str):
    cases = yaml.safe_load((PROMETHEUS / "tests" / f"{alert}.yml").read_text())["tests"]
    fires = [bool(one["exp_alerts"]) for case in cases for one in case["alert_rule_test"] if one["alertname"] == alert]
    assert set(fires) == {True, False}


def test_no_case_is_left_of_an_alert_that_is_gone():
    assert {path.stem for path in (PROMETHEUS / "tests").iterdir()} == set(RULES)
