"""What nobody may see is put everywhere, and looked for in everything that the daemons and commands say."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import psycopg
import pytest

from tests.integration.security.brokers import SecureBroker
from tests.integration.security.certificates import Authority
from tests.integration.security.conftest import PASSWORD
from tests.integration.topics import Raw, Topics
from tests.waiting import eventually
from txbox.daemon import Database
from txbox.outbox import Message, Outbox

#: passwords
SECRET = "hunter2"
#: of messages
PAYLOAD, KEY, HEADER = "canary-payload", "canary-key", "canary-header"

APP = "tests.integration.security.canary_app:consumer"
ROOT = Path(__file__).parent.parent.parent.parent


class Daemon:
    """`txbox ...` as a process; everything that can be seen of it."""

    def __init__(self, log: Path, env: Mapping[str, str], *arguments: str) -> None:
        self._log = log
        command = (sys.executable, "-m", "txbox.cli", "-v", *arguments, "--http-port", "0")
        with log.open("wb") as out:
            self._process = subprocess.Popen(command, env={**os.environ, **env}, cwd=ROOT, stdout=out, stderr=out)

    @property
    def log(self) -> str:
        return self._log.read_text()

    def says(self, *words: str) -> None:
        eventually(lambda: all(word in self.log for word in words), within=60)

    def seen(self) -> str:
        """What the log, /metrics, /readyz and the list of processes say."""
        place = self.log.partition("metrics and health on ")[2].split()[0]
        pages = []
        for page in ("metrics", "livez", "readyz"):
            try:
                with urlopen(f"{place}/{page}", timeout=10) as answer:  # noqa: S310  # our own
                    pages.append(answer.read().decode())
            except OSError as error:  # 503, with a body
                pages.append(getattr(error, "read", bytes)().decode())
        proc = Path(f"/proc/{self._process.pid}")
        listed = [(proc / name).read_bytes().decode() for name in ("cmdline", "environ")]
        return "\n".join((self.log, *pages, *listed))

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(30)
        finally:
            self._process.kill()
            self._process.wait()


@contextmanager
def daemon(log: Path, env: Mapping[str, str], *arguments: str) -> Iterator[Daemon]:
    one = Daemon(log, env, *arguments)
    try:
        yield one
    finally:
        one.stop()


@pytest.fixture
def env(tmp_path: Path, database: Database, broker: SecureBroker, authority: Authority) -> dict[str, str]:
    """Secrets in files, and librdkafka as talkative as it can be."""
    (tmp_path / "url").write_text(database.url.replace("postgres@", f"postgres:{SECRET}-database@"))
    (tmp_path / "password").write_text(PASSWORD)
    return {
        "TXBOX_DATABASE__URL_FILE": str(tmp_path / "url"),
        "TXBOX_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{broker.users}",
        "TXBOX_KAFKA__CLIENT__SECURITY_PROTOCOL": "SASL_SSL",
        "TXBOX_KAFKA__CLIENT__SSL_CA_LOCATION": str(authority.pem),
        "TXBOX_KAFKA__CLIENT__SASL_MECHANISM": "SCRAM-SHA-512",
        "TXBOX_KAFKA__CLIENT__SASL_USERNAME": "relay",
        "TXBOX_KAFKA__CLIENT__SASL_PASSWORD_FILE": str(tmp_path / "password"),
        "TXBOX_KAFKA__CLIENT__DEBUG": "all",
        "TXBOX_RELAY__ON_UNDELIVERABLE": "hold",
        "TXBOX_CONSUMER__DEAD_LETTER_TOPIC": "{topic}.dlt",
    }


def command(env: Mapping[str, str], *arguments: str) -> str:
    """What a command says, on both its outputs; it may fail."""
    done = subprocess.run(
        (sys.executable, "-m", "txbox.cli", *arguments),
        env={**os.environ, **env},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.stdout + done.stderr


def unseen(text: str, *canaries: str) -> None:
    for canary in canaries:
        at = text.find(canary)
        assert at < 0, text[max(at - 500, 0) : at + 100]


def test_neither_a_password_nor_anything_of_a_message_is_ever_told(
    env: dict[str, str], tmp_path: Path, conn: psycopg.Connection, topics: Topics
) -> None:
    for suffix in ("", ".dlt"):
        topics.prefix = "canaries"
        topics.make(suffix, max_message_bytes="2000")
    odd = [("id", b"1"), ("type", b"Python"), ("h", HEADER.encode())]
    topics.put("canaries", Raw(f"{{{PAYLOAD}".encode(), KEY.encode(), odd))
    topics.put("canaries", Raw(PAYLOAD.encode(), KEY.encode(), odd[1:]))
    with conn.transaction():
        for type_, payload in (("Python", PAYLOAD), ("Sql", PAYLOAD), ("Fine", PAYLOAD), ("Large", PAYLOAD * 1000)):
            message = Message(type_, payload, topic="canaries", key=f"{KEY}-{type_}", headers={"h": HEADER})
            Outbox().add(conn, message)
    with (
        daemon(tmp_path / "relay.log", env, "relay", "run", "--log-format", "json") as relay,
        daemon(tmp_path / "consumer.log", env, "consume", APP, "--log-format", "console") as consumer,
    ):
        relay.says("message held")
        eventually(lambda: _dead(conn) == 4, within=60)
        consumer.says("no_id", "the error", "canary_app.py")
        unseen(relay.seen(), SECRET, PAYLOAD, KEY, HEADER)
        unseen(consumer.seen(), SECRET, PAYLOAD, KEY, HEADER)
        (tmp_path / "password").write_text(f"{SECRET}-wrong")
    told = [
        row
        for (row,) in conn.execute(
            "SELECT error FROM txbox.held_messages UNION ALL SELECT error FROM txbox.outbox_held"
        )
    ]
    unseen(" ".join(map(str, told)), SECRET, PAYLOAD, KEY, HEADER)
    for lists in (
        ("held", "list"),
        ("outbox", "held"),
        ("consumers", "list"),
        ("inbox", "stats", "canaries"),
        ("relay", "status"),
    ):
        unseen(command(env, *lists), SECRET, PAYLOAD, HEADER)
    with daemon(tmp_path / "refused.log", env, "relay", "run") as refused:
        refused.says("sasl.password")
        unseen(refused.seen(), SECRET)


def _dead(conn: psycopg.Connection) -> int:
    return len(conn.execute("SELECT FROM txbox.held_messages WHERE state = 'dead'").fetchall())
