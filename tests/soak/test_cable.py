"""A leader on a machine whose cable is pulled: a network namespace, and a pair of interfaces that goes down."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests.waiting import eventually
from txbox.daemon import Database
from txbox.relay.ledger import Ledger
from txbox.sandbox.postgres import Postgres
from txbox.sandbox.servers import free_ports
from txbox.schema import migrate

ROOT = Path(__file__).parent.parent.parent
HERE, FAR = "10.213.7.1", "10.213.7.2"


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture
def far() -> Iterator[str]:
    """The name of a network namespace with an interface far0, at the other end of near0."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("only root makes network namespaces, and with iproute2: apt-get install iproute2")
    name = f"txbox-{os.getpid()}"
    ip("netns", "add", name)
    try:
        ip("link", "add", "near0", "type", "veth", "peer", "name", "far0", "netns", name)
        ip("addr", "add", f"{HERE}/24", "dev", "near0")
        ip("link", "set", "near0", "up")
        ip("-n", name, "addr", "add", f"{FAR}/24", "dev", "far0")
        ip("-n", name, "link", "set", "far0", "up")
        yield name
    finally:
        ip("netns", "del", name)  # the interfaces go with it


@pytest.fixture
def server() -> Iterator[Postgres]:
    """A PostgreSQL that listens for other machines too."""
    folder = Path(tempfile.mkdtemp(prefix="txbox-test-"))
    folder.chmod(0o755)
    server = Postgres(folder / "postgres", fsync=False)
    server.prepare(*free_ports(1))
    with (server.data / "sandbox.conf").open("a") as settings:
        settings.write("listen_addresses = '*'\n")
    with (server.data / "pg_hba.conf").open("a") as clients:
        clients.write(f"host all all {FAR}/32 trust\n")
    server.start()
    try:
        with psycopg.connect(server.url, autocommit=True) as conn:
            migrate(conn)
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


def test_both_ends_notice_that_the_cable_was_pulled(server: Postgres, far: str, tmp_path: Path) -> None:
    url = server.url.replace("127.0.0.1", HERE)
    command = ["ip", "netns", "exec", far, sys.executable, "-m", "tests.soak.far_leader", url]
    with (tmp_path / "log").open("w+") as log, closing(Ledger.open(Database(url=server.url), "default", {})) as standby:
        leader = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        try:
            eventually(lambda: "leading" in (tmp_path / "log").read_text())
            assert not standby.lock()
            ip("link", "set", "near0", "down")
            began = time.monotonic()
            eventually(standby.lock, within=60, every=0.5)
            freed = time.monotonic() - began
            assert leader.wait(60) == 0
        finally:
            leader.kill()
            leader.wait()
    told = (tmp_path / "log").read_text()
    print(f"the server freed the lead after {freed:.1f} s; the leader: {told}")
    assert freed < 21
    noticed = re.search(r"gone after ([\d.]+) s", told)
    assert noticed is not None
    assert float(noticed[1]) < 36
