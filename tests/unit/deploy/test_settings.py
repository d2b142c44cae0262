"""What we deploy names settings, commands, ports and paths that there are."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from txbox.cli.main import txbox
from txbox.cli.settings import SETTINGS

ROOT = Path(__file__).parent.parent.parent.parent
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").iterdir())
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
OURS = {name: service for name, service in SERVICES.items() if service.get("image") == "txbox:local"}
MANIFESTS = [one for one in yaml.safe_load_all((DEPLOY / "kubernetes/txbox.yaml").read_text()) if one]
PODS = {one["metadata"]["name"]: one["spec"]["template"]["spec"] for one in MANIFESTS if "template" in one["spec"]}
#: what the chart sets, and what no two replicas may have in common
NOT_FOR_THE_CHART = (
    *("database.url", "kafka.bootstrap_servers", "http.host", "http.port", "log.format", "consumer.instance_id"),
)
PORT = 9464


@pytest.mark.parametrize(
    "file",
    [ROOT / "Dockerfile", ROOT / "docker-compose.yml", *UNITS, DEPLOY / "kubernetes/txbox.yaml"],
    ids=lambda file: file.name,
)
def test_every_variable_is_a_setting(file: Path) -> None:
    known = {name for setting in SETTINGS.values() for name in setting.envvars} | {"TXBOX_PYTHON"}
    named = {name.removesuffix("_FILE") for name in re.findall(r"\bTXBOX_\w+", file.read_text())}
    assert named - known == set()
    assert named


def test_the_chart_takes_every_setting_and_no_other() -> None:
    schema = json.loads((DEPLOY / "helm/txbox/values.schema.json").read_text())
    taken = schema["properties"]["settings"]["propertyNames"]["enum"]
    assert taken == sorted(SETTINGS.keys() - set(NOT_FOR_THE_CHART)), "mend it in deploy/helm/txbox/values.schema.json"


@pytest.mark.parametrize(
    "command",
    [
        *(service["command"] for service in OURS.values() if "entrypoint" not in service),
        *(pod["containers"][0]["args"] for pod in PODS.values()),
        *(re.search(r"^ExecStart=\S+/txbox (.*)$", unit.read_text(), re.MULTILINE)[1].split()[2:] for unit in UNITS),  # type: ignore[index]
    ],
    ids=" ".join,
)
def test_every_command_is_there(command: list[str]) -> None:
    assert CliRunner().invoke(txbox, [*command, "--help"]).exit_code == 0


def test_the_image_is_built_of_every_room() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    taken = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line.startswith("!")}
    assert {package.partition("/")[0] for package in wheel["packages"]} <= taken


def test_what_listens_is_what_is_asked() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert f"TXBOX_HTTP__PORT={PORT}" in dockerfile
    assert f"EXPOSE {PORT}\n" in dockerfile
    jobs = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())["scrape_configs"]
    asked = {(job["job_name"], *found["names"]): found["port"] for job in jobs for found in job["dns_sd_configs"]}
    assert asked == {
        ("txbox-relay", "relay"): PORT,
        ("txbox-billing", "billing"): PORT,
    }  # a job each: the alerts need it
    assert {"relay", "billing"} <= OURS.keys()
    (relay,) = PODS["txbox-relay"]["containers"]
    assert relay["ports"] == [{"name": "http", "containerPort": PORT}]
    assert {"name": "TXBOX_HTTP__PORT", "value": str(PORT)} in relay["env"]
    assert relay["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "http"}
    assert relay["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}


def test_what_is_ended_has_the_time_that_it_takes() -> None:
    drain = SETTINGS["relay.drain_timeout"]
    longest = drain.type.convert(drain.default, None, None)
    assert PODS["txbox-relay"]["terminationGracePeriodSeconds"] > longest
    assert int(OURS["relay"]["stop_grace_period"].removesuffix("s")) > longest
    for unit in UNITS:
        assert int(re.search(r"^TimeoutStopSec=(\d+)s$", unit.read_text(), re.MULTILINE)[1]) > longest  # type: ignore[index]


@pytest.mark.parametrize("name", PODS)
def test_a_pod_has_no_right_that_it_does_not_need(name: str) -> None:
    pod = PODS[name]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not [one for one in container["env"] if one["name"] == "TXBOX_DATABASE__URL"]


def test_of_two_relays_one_stays() -> None:
    kinds = {one["kind"]: one for one in MANIFESTS}
    assert kinds["Deployment"]["spec"]["replicas"] == 2
    assert kinds["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1
    chosen = kinds["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"]
    assert chosen.items() <= kinds["Deployment"]["spec"]["template"]["metadata"]["labels"].items()


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_listens_for_this_machine_only(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@pytest.mark.parametrize("name", OURS)
def test_a_container_of_ours_has_no_right_that_it_does_not_need(name: str) -> None:
    assert OURS[name]["read_only"] is True
    assert OURS[name]["cap_drop"] == ["ALL"]
    assert OURS[name]["security_opt"] == ["no-new-privileges:true"]


def test_no_password_is_written_down() -> None:
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            secret = re.search("password|secret|token", variable, re.IGNORECASE)
            assert not secret or variable.endswith("_FILE"), f"{name}: {variable}"
            assert not re.search(r"://[^/@]*:[^/@]*@", str(value)), f"{name}: {variable}"
