"""A real Prometheus, and its promtool: from PATH, or of Debian's package."""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import yaml

from tests.integration.debian import environment, program
from tests.waiting import eventually
from txbox.sandbox.servers import free_ports, is_listening

__all__ = ["DEPLOY", "Prometheus", "promtool", "scraping"]

DEPLOY = Path(__file__).parent.parent.parent.parent / "deploy"


@dataclass(frozen=True, slots=True)
class Prometheus:
    """One that runs, by its HTTP interface."""

    port: int

    def ask(self, path: str, **parameters: str) -> Any:
        """The `data` of an answer; anything but success is the test's failure."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urlencode(parameters)}"
        with urlopen(url, timeout=20) as answer:  # it is http
            return json.load(answer)["data"]

    def series(self, query: str) -> dict[frozenset[tuple[str, str]], float]:
        """The values of a query now, by labels."""
        found = self.ask("query", query=query)["result"]
        return {frozenset(one["metric"].items()): float(one["value"][1]) for one in found}

    def value(self, query: str) -> float | None:
        """The one value of a query; None if there is none."""
        values = list(self.series(query).values())
        assert len(values) <= 1, values
        return values[0] if values else None


@contextmanager
def scraping(folder: Path, jobs: Mapping[str, Sequence[int]], rules: Path) -> Iterator[Prometheus]:
    """Run one that scrapes these ports on loopback four times a second, and kill it at the end."""
    [port] = free_ports(1)
    settings = {
        "global": {"scrape_interval": "250ms", "evaluation_interval": "1s"},
        "rule_files": [str(rules)],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{port}" for port in ports]}]}
            for job, ports in jobs.items()
        ],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
    command = program("prometheus", "prometheus")
    arguments = {
        "config.file": folder / "prometheus.yml",
        "storage.tsdb.path": folder / "data",
        "web.listen-address": f"127.0.0.1:{port}",
        "log.level": "error",
    }
    options = [f"--{name}={value}" for name, value in arguments.items()]
    with subprocess.Popen([command, *options], env=environment(command)) as server:
        try:
            eventually(lambda: server.poll() is not None or is_listening(port))
            yield Prometheus(port)
        finally:
            server.kill()


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run `promtool` to its end."""
    command = program("promtool", "prometheus")
    return subprocess.run(
        [command, *arguments], env=environment(command), capture_output=True, text=True, timeout=120, check=False
    )
