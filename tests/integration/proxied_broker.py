"""A broker that tells clients which come through a proxy to stay there."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka.admin import AdminClient

from tests.integration.toxiproxy import Proxy, Toxiproxy
from txbox.sandbox.broker import Broker
from txbox.sandbox.runtime import Runtime
from txbox.sandbox.servers import free_ports
from txbox.sandbox.warm_up import warm_up

__all__ = ["ProxiedBroker", "proxied_broker"]


@dataclass(frozen=True, slots=True)
class ProxiedBroker:
    """One broker with two doors."""

    #: for the test itself
    direct: str
    #: for clients whose link is to be cut
    bootstrap_servers: str
    link: Proxy
    admin: AdminClient


@contextmanager
def proxied_broker(toxiproxy: Toxiproxy) -> Iterator[ProxiedBroker]:
    """Start one; kill it at the end, and delete all that it had."""
    direct, inner, controller, outer = free_ports(4)
    folder = Path(tempfile.mkdtemp(prefix="txbox-broker-"))
    broker = Broker(0, folder, Runtime(lambda _: None))
    try:
        broker.prepare(direct, {0: f"127.0.0.1:{controller}"})
        _open_second_door(folder / "server.properties", direct, inner, outer)
        broker.launch()
        broker.wait_ready()
        assert warm_up(f"127.0.0.1:{direct}", 1)
        with toxiproxy.proxy(inner, outer) as link:
            admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{direct}", "log_level": 0})
            yield ProxiedBroker(f"127.0.0.1:{direct}", f"127.0.0.1:{outer}", link, admin)
    finally:
        broker.kill()
        shutil.rmtree(folder)


def _open_second_door(settings: Path, direct: int, inner: int, outer: int) -> None:
    """Listen at `inner` too, and tell whoever comes there that the broker is at `outer`."""
    text = settings.read_text()
    text = text.replace(f"BROKER://127.0.0.1:{direct},", f"BROKER://127.0.0.1:{direct},LINK://127.0.0.1:{inner},")
    text = text.replace("BROKER:PLAINTEXT,", "BROKER:PLAINTEXT,LINK:PLAINTEXT,")
    text += f"advertised.listeners=BROKER://127.0.0.1:{direct},LINK://127.0.0.1:{outer}\n"
    settings.write_text(text)
