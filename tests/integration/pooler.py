"""pgbouncer in front of a server, from PATH or from Debian's package."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from txbox.sandbox.folders import cache_folder, postgres_account
from txbox.sandbox.processes import ServerProcess
from txbox.sandbox.servers import free_ports, is_listening

__all__ = ["pooled"]

_MISSING = "there is no pgbouncer on PATH, and Debian's package cannot be fetched: apt-get install pgbouncer"
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
    found = _pgbouncer()
    if found is None:
        pytest.skip(_MISSING)
    command, env = found
    [port] = free_ports(1)
    server = urlsplit(url)
    settings = folder / "pgbouncer.ini"
    user = server.username or "postgres"
    settings.write_text(_SETTINGS.format(server=server.port, user=user, port=port, mode=mode, size=size))
    settings.chmod(0o644)
    process = ServerProcess("pgbouncer", folder / "pgbouncer.json", folder / "pgbouncer.log")
    try:
        process.start([command, settings], cwd=folder, env=env, account=postgres_account())
        process.wait_ready(lambda: is_listening(port), 20)
        yield urlunsplit(server._replace(netloc=f"{user}@127.0.0.1:{port}"))
    finally:
        process.kill()


@cache
def _pgbouncer() -> tuple[Path, dict[str, str]] | None:
    """The program and the environment that it needs; None where there is none and none can be had."""
    if found := shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin"):
        return Path(found), dict(os.environ)
    root = cache_folder() / "pgbouncer"
    try:
        if not root.exists():
            _fetch(root)
        libraries = ":".join(str(folder) for folder in root.glob("usr/lib/*-linux-*"))
        env = {**os.environ, "LD_LIBRARY_PATH": libraries}
        program = root / "usr/sbin/pgbouncer"
        subprocess.run([program, "--version"], env=env, capture_output=True, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return program, env


def _fetch(root: Path) -> None:
    """Unpack Debian's packages into a folder, which appears whole or not at all; needs no root."""
    new = root.with_name(f".{root.name}.{os.getpid()}.new")
    new.mkdir(parents=True)
    try:
        subprocess.run(["apt-get", "download", *_PACKAGES], cwd=new, capture_output=True, check=True, timeout=60)
        for package in new.glob("*.deb"):
            subprocess.run(["dpkg", "-x", package, new], capture_output=True, check=True)
        new.chmod(0o755)
        new.rename(root)
    finally:
        shutil.rmtree(new, ignore_errors=True)
