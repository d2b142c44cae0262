"""Where the servers are: what a sandbox tells whoever wants to connect."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """A sandbox that is up."""

    #: libpq URL of the maintenance database, as superuser
    database_url: str
    #: what Kafka clients call bootstrap.servers
    bootstrap_servers: str
    postgres_version: str
    kafka_version: str
    #: live processes by name: "postgres", "kafka-0", ...
    pids: Mapping[str, int]
    #: the sandbox's folder
    dir: Path

    def to_json(self) -> str:
        """The state file's text, one JSON object."""
        return json.dumps(asdict(self) | {"dir": str(self.dir)}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Servers:
        """Read what `to_json` wrote.

        Raises:
            ValueError: the text is something else.
        """
        told: dict[str, Any] = json.loads(text)
        try:
            return cls(**told | {"dir": Path(told["dir"])})
        except (TypeError, KeyError) as error:
            raise ValueError(f"not a sandbox's state: {error}") from error


def free_ports(count: int) -> list[int]:
    """Different loopback ports on which nobody listens now."""
    with ExitStack() as held:  # all are held until the last is known, else the kernel may give one twice
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def is_free(port: int) -> bool:
    """Whether a server can listen on this loopback port now."""
    with socket.socket() as one:
        # as servers do: connections that linger after a restart must not look like a listener
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def settle_ports(wanted: Sequence[int | None]) -> list[int]:
    """The wanted ports, with free ones in place of those that are taken or None."""
    spare = free_ports(len(wanted))
    return [port if port and is_free(port) else spare.pop() for port in wanted]


def is_listening(port: int) -> bool:
    """Whether somebody accepts connections on this loopback port."""
    with socket.socket() as one:
        one.settimeout(1)
        return one.connect_ex(("127.0.0.1", port)) == 0
