"""Programs that read what we deploy. Tests skip where one is missing, and say how to get it."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from txbox.sandbox.folders import cache_folder

__all__ = ["KUBERNETES", "program", "schemas"]

#: the newest one whose kinds are looked at
KUBERNETES: Final = "1.34.1"

_WAYS: Final = {
    "helm": "go install helm.sh/helm/v3/cmd/helm@latest",
    "kubeconform": "go install github.com/yannh/kubeconform/cmd/kubeconform@latest",
    "go": "Go, from your system's packages",
    "promtool": "apt-get install prometheus",
    "systemd-analyze": "apt-get install systemd",
}


def program(name: str) -> str:
    """Return where a program is, on PATH or where `go install` puts it; skip the test if it is nowhere."""
    found = shutil.which(name) or shutil.which(name, path=str(Path.home() / "go/bin"))
    if found is None:
        pytest.skip(f"there is no {name}: {_WAYS[name]}")
    return found


def schemas() -> str:
    """Return kubeconform's -schema-location for the kinds of Kubernetes, which come with its Go module; made once."""
    folder = cache_folder() / f"kubernetes-{KUBERNETES}"
    if not folder.exists():
        module = f"k8s.io/kubernetes@v{KUBERNETES}"
        told = subprocess.run([program("go"), "mod", "download", "-json", module], capture_output=True, timeout=300)
        where = json.loads(told.stdout).get("Dir")
        if where is None:
            pytest.skip(f"Go cannot fetch {module}, which has the schemas")
        _make(json.loads((Path(where) / "api/openapi-spec/swagger.json").read_text())["definitions"], folder)
    return f"{folder}/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json"


def _make(definitions: dict[str, dict[str, object]], folder: Path) -> None:
    """Write a JSON schema a kind, all of them on one file of definitions. Unknown fields are errors in them."""
    new = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    for name, definition in definitions.items():
        if "properties" in definition:
            definition["additionalProperties"] = False
        if definition.get("format") == "int-or-string":  # which OpenAPI calls a string
            del definition["type"]
        for kind in definition.get("x-kubernetes-group-version-kind", []):  # type: ignore[attr-defined]
            group = f"-{kind['group'].partition('.')[0]}" if kind["group"] else ""
            file = new / f"{kind['kind'].lower()}{group}-{kind['version']}.json"
            file.write_text(json.dumps({"$ref": f"definitions.json#/definitions/{name}"}))
    text = json.dumps({"definitions": definitions}).replace('"#/definitions/', '"definitions.json#/definitions/')
    (new / "definitions.json").write_text(text)
    new.rename(folder)
