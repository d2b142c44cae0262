"""The Helm chart, as Helm and Kubernetes read it."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.deploy.tools import KUBERNETES, program, schemas

DEPLOY = Path(__file__).parent.parent.parent.parent / "deploy"
CHART = DEPLOY / "helm/txbox"
#: what has to be given, and everything else that may be
NEEDED: dict[str, Any] = {
    "database": {"secret": {"name": "orders-database"}},
    "kafka": {"bootstrapServers": "kafka:9092"},
}
EVERYTHING: dict[str, Any] = {
    **NEEDED,
    "image": {"repository": "registry/txbox", "tag": "1", "pullSecrets": [{"name": "registry"}]},
    "kafka": {
        "bootstrapServers": "kafka:9093",
        "client": {"security.protocol": "sasl_ssl", "sasl.mechanism": "SCRAM-SHA-512", "sasl.username": "relay"},
        "clientSecrets": {"sasl.password": {"name": "kafka", "key": "password"}},
    },
    "mounts": [{"secret": "kafka-ca", "path": "/run/kafka-ca"}],
    "settings": {
        "relay.retention": "30d",
        "relay.batch": 1000,
        "relay.in_flight": 2000000,
        "relay.create_topics": True,
    },
    "relay": {"replicas": 3, "nodeSelector": {"disk": "fast"}, "tolerations": [{"operator": "Exists"}]},
    "consumers": {
        "billing": {
            "image": "shop:1",
            "app": "shop.billing:consumer",
            "replicas": 3,
            "database": {"secret": {"name": "billing-database", "key": "url"}},
            "settings": {"consumer.handler_timeout": "10s", "relay.batch": 7},
            "resources": {"limits": {"memory": "1Gi"}},
        },
        "mailing": {"image": "shop:1", "app": "shop.mailing:consumer"},
    },
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
}


def helm(*arguments: str, ok: bool = True) -> str:
    done = subprocess.run([program("helm"), *arguments], capture_output=True, text=True, timeout=60)
    assert (done.returncode == 0) is ok, done.stdout + done.stderr
    return done.stdout if ok else done.stderr


def rendered(values: dict[str, Any], tmp_path: Path, ok: bool = True) -> str:
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    return helm("template", "orders", str(CHART), "--kube-version", KUBERNETES, "--values", str(file), ok=ok)


@pytest.mark.parametrize("values", [NEEDED, EVERYTHING], ids=["needed", "everything"])
def test_helm_and_kubernetes_take_it(values: dict[str, Any], tmp_path: Path) -> None:
    text = rendered(values, tmp_path)
    helm("lint", "--strict", "--kube-version", KUBERNETES, str(CHART), "--values", str(tmp_path / "values.yaml"))
    # ServiceMonitor is Prometheus' operator's, and Kubernetes does not know it
    command = [program("kubeconform"), "-strict", "-summary", "-skip", "ServiceMonitor", "-schema-location", schemas()]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Invalid: 0, Errors: 0" in done.stdout


def test_a_consumer_has_its_own_database_image_and_settings(tmp_path: Path) -> None:
    kinds = {one["metadata"]["name"]: one for one in yaml.safe_load_all(rendered(EVERYTHING, tmp_path)) if one}
    billing = kinds["orders-billing"]["spec"]["template"]["spec"]
    (container,) = billing["containers"]
    env = {one["name"]: one["value"] for one in container["env"]}
    assert container["image"] == "shop:1"
    assert container["args"] == ["consume", "shop.billing:consumer"]
    assert (env["TXBOX_CONSUMER__HANDLER_TIMEOUT"], env["TXBOX_RELAY__BATCH"]) == ("10s", "7")
    assert (env["TXBOX_RELAY__CREATE_TOPICS"], env["TXBOX_RELAY__IN_FLIGHT"]) == ("true", "2000000")
    assert env["TXBOX_KAFKA__CLIENT__SASL_PASSWORD_FILE"] == "/run/txbox/kafka/sasl.password"
    secrets = {one["name"]: one for one in billing["volumes"]}
    assert secrets["database"]["secret"]["secretName"] == "billing-database"
    # each database has its migrations, before anything that needs them
    jobs = {name for name, kind in kinds.items() if kind["kind"] == "Job"}
    assert jobs == {"orders-migrate", "orders-migrate-billing"}
    assert {kinds[job]["metadata"]["annotations"]["helm.sh/hook"] for job in jobs} == {"pre-install,pre-upgrade"}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"kafka": NEEDED["kafka"]}, "database.secret.name: which Secret has database.url?"),
        ({"database": NEEDED["database"]}, "kafka.bootstrapServers: which Kafka?"),
        ({**NEEDED, "settings": {"relay.retantion": "30d"}}, "relay.retantion"),
        ({**NEEDED, "settings": {"consumer.instance_id": "one-for-all"}}, "consumer.instance_id"),
        ({**NEEDED, "replicas": 3}, "replicas"),
        ({**NEEDED, "consumers": {"billing": {"image": "shop:1"}}}, "app"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_is_told_before_anything_runs(values: dict[str, Any], said: str, tmp_path: Path) -> None:
    assert said in rendered(values, tmp_path, ok=False)


def test_the_manifests_are_what_the_chart_makes() -> None:
    values = str(DEPLOY / "kubernetes/values.yaml")
    made = helm("template", "txbox", str(CHART), "--kube-version", "1.31.0", "--values", values)
    assert made == (DEPLOY / "kubernetes/txbox.yaml").read_text(), "make them anew: deploy/kubernetes/make"
