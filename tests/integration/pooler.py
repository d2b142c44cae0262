"""pgbouncer in front of a server, from PATH or from Debian's package."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from tests.integration.debian import environment, program
from txbox.sandbox.folders import postgres_account
from txbox.sandbox.processes import ServerProcess
from txbox.sandbox.servers import free_ports, is_listening

__all__ = ["pooled"]

#: what it needs beyond what any Debian has
_PACKAGES = ("pgbouncer", "libc-ares2")
_SETTINGS = """\
[databases]
* = user={user} host=127.0.0.1 port={server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = {size}
"""


@contextmanager
def pooled(folder: Path, url: str, mode: str, size: int = 5) -> Iterator[str]:
    """The URL of the same database through a pgbouncer in this mode; skips where there is none."""
    command = program("pgbouncer", *_PACKAGES)
    [port] = free_ports(1)
    server = urlsplit(url)
    settings = folder / "pgbouncer.ini"
    user = server.username or "postgres"
    settings.write_text(_SETTINGS.format(server=server.port, user=user, port=port, mode=mode, size=size))
    settings.chmod(0o644)
    process = ServerProcess("pgbouncer", folder / "pgbouncer.json", folder / "pgbouncer.log")
    try:
        process.start([command, settings], cwd=folder, env=environment(command), account=postgres_account())
        process.wait_ready(lambda: is_listening(port), 20)
        yield urlunsplit(server._replace(netloc=f"{user}@127.0.0.1:{port}"))
    finally:
        process.kill()
