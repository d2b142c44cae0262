"""Shopify's toxiproxy: connections that are cut, reset or swallowed, where a test wants it.

A TCP proxy in user space: it answers the kernel's keepalives itself, so what it swallows nobody's kernel notices.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

from tests.waiting import eventually
from txbox.sandbox.folders import cache_folder
from txbox.sandbox.servers import free_ports, is_listening

__all__ = ["NoToxiproxy", "Proxy", "Toxiproxy", "program", "through"]

VERSION = "2.12.0"
_MODULE = f"github.com/Shopify/toxiproxy/v2/cmd/server@v{VERSION}"

#: upstream: what the client sends; downstream: what the server answers
Stream = Literal["upstream", "downstream"]
_BOTH: tuple[Stream, Stream] = ("upstream", "downstream")


class NoToxiproxy(Exception):
    """There is none, and it cannot be built here."""


def program() -> Path:
    """Return toxiproxy-server: the one on PATH, or one that is built once, in half a minute. Raises NoToxiproxy."""
    if found := shutil.which("toxiproxy-server"):
        return Path(found)
    built = cache_folder() / f"toxiproxy-{VERSION}" / "toxiproxy-server"
    if not built.exists():
        _build(built)
    return built


def _build(target: Path) -> None:
    """Let Go fetch and build it; it appears whole or not at all."""
    go = shutil.which("go")
    if go is None:
        raise NoToxiproxy("there is no toxiproxy-server on PATH, and no Go to build one: install either")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        env = {**os.environ, "GOBIN": folder}
        try:
            done = subprocess.run([go, "install", _MODULE], env=env, capture_output=True, text=True, timeout=300)
        except subprocess.TimeoutExpired as error:
            raise NoToxiproxy(f"go install {_MODULE} took longer than {error.timeout:.0f} s") from error
        if done.returncode:
            raise NoToxiproxy(f"go install {_MODULE} failed: {done.stderr[-500:]}")
        Path(folder, "server").replace(target)


def through(url: str, proxy: "Proxy") -> str:
    """Return a database's URL with the proxy in the server's place."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{parts.username}@127.0.0.1:{proxy.port}"))


@dataclass(frozen=True, slots=True)
class Proxy:
    """One proxy: a port on loopback in front of a server's."""

    server: "Toxiproxy"
    name: str
    port: int

    def cut(self) -> None:
        """Close every connection, and refuse new ones."""
        self.server.call("POST", f"/proxies/{self.name}", {"enabled": False})

    def mend(self) -> None:
        """Accept connections again."""
        self.server.call("POST", f"/proxies/{self.name}", {"enabled": True})

    def drop(self) -> None:
        """Close every connection; new ones are accepted at once."""
        self.cut()
        self.mend()

    def received(self, stream: Stream) -> float:
        """How many bytes have come to the proxy that way, over connections that have ended since."""
        text = self.server.ask("GET", "/metrics")
        found = re.findall(r"^toxiproxy_proxy_received_bytes_total\{(.*)\} (.*)$", text, re.MULTILINE)
        mine = (f'proxy="{self.name}"', f'direction="{stream}"')
        return sum(float(count) for labels, count in found if all(label in labels for label in mine))

    @contextmanager
    def toxic(self, kind: str, *streams: Stream, **attributes: int) -> Iterator[None]:
        """Spoil what passes, on connections old and new, for as long as the block lasts; both ways unless one is named.

        `timeout` with timeout=0 swallows everything, and closes what it spoiled at the end; `limit_data` closes a
        connection after so many bytes, counted from now; `reset_peer` with timeout=0 answers with RST.
        """
        names = [f"{kind}-{stream}" for stream in streams or _BOTH]
        for stream, name in zip(streams or _BOTH, names, strict=True):
            toxic = {"type": kind, "stream": stream, "name": name, "attributes": attributes}
            self.server.call("POST", f"/proxies/{self.name}/toxics", toxic)
        try:
            yield
        finally:
            for name in names:
                self.server.call("DELETE", f"/proxies/{self.name}/toxics/{name}")

    @contextmanager
    def silence(self) -> Iterator[None]:
        """Swallow everything, both ways, without a word to anybody."""
        with self.toxic("timeout", timeout=0):
            yield


class Toxiproxy:
    """A toxiproxy-server, by its HTTP interface."""

    def __init__(self, port: int) -> None:
        self._port = port

    @classmethod
    @contextmanager
    def running(cls) -> Iterator["Toxiproxy"]:
        """Start one, and kill it at the end. Raises NoToxiproxy."""
        [port] = free_ports(1)
        command = [str(program()), "-host", "127.0.0.1", "-port", str(port), "-proxy-metrics"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
            try:
                eventually(lambda: is_listening(port))
                yield cls(port)
            finally:
                server.kill()

    @contextmanager
    def proxy(self, upstream: int, port: int = 0) -> Iterator[Proxy]:
        """Listen on `port`, any by default, for a server on loopback port `upstream`."""
        told = {"name": uuid4().hex, "listen": f"127.0.0.1:{port}", "upstream": f"127.0.0.1:{upstream}"}
        made = self.call("POST", "/proxies", {**told, "enabled": True})
        try:
            yield Proxy(self, told["name"], int(made["listen"].rpartition(":")[2]))
        finally:
            self.call("DELETE", f"/proxies/{told['name']}")

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Call the interface."""
        text = self.ask(method, path, body)
        return json.loads(text) if text else None

    def ask(self, method: str, path: str, body: object = None) -> str:
        """Return its answer as text; anything but success is the test's failure."""
        connection = HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        assert answer.status < 300, f"toxiproxy: {method} {path}: {answer.status} {text}"
        return text
