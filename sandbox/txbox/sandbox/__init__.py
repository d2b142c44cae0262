"""A real PostgreSQL and a real Kafka on loopback, with nothing installed but Python: for demos, tests and benches.

For development only; no promise is made that its interface stays.

    with Sandbox() as servers:
        psycopg.connect(servers.database_url)
        Producer({"bootstrap.servers": servers.bootstrap_servers})
"""

from __future__ import annotations

from txbox.sandbox.containers import Containers, temporary
from txbox.sandbox.errors import (
    AlreadyUp,
    ContainerFailed,
    DownloadFailed,
    JarMismatch,
    NoDocker,
    NoJava,
    NoPostgres,
    NotUp,
    PortTaken,
    SandboxError,
    StartFailed,
    Unreachable,
    WrongData,
)
from txbox.sandbox.folders import default_folder
from txbox.sandbox.kafka import Kafka
from txbox.sandbox.postgres import Postgres
from txbox.sandbox.sandbox import Sandbox
from txbox.sandbox.servers import Servers

__all__ = [
    "AlreadyUp",
    "ContainerFailed",
    "Containers",
    "DownloadFailed",
    "JarMismatch",
    "Kafka",
    "NoDocker",
    "NoJava",
    "NoPostgres",
    "NotUp",
    "PortTaken",
    "Postgres",
    "Sandbox",
    "SandboxError",
    "Servers",
    "StartFailed",
    "Unreachable",
    "WrongData",
    "default_folder",
    "temporary",
]
