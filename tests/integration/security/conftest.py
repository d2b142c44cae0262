"""One broker and one PostgreSQL that are careful; certificates of an authority that they trust, and of another."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.security.brokers import SecureBroker
from tests.integration.security.certificates import Authority
from tests.integration.security.databases import SecurePostgres, programs
from tests.integration.topics import Topics

PASSWORD = "hunter2-right"


def _authority(folder: Path) -> Authority:
    folder.chmod(0o755)
    return Authority(folder)


@pytest.fixture(scope="package")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return _authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="package")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that nobody trusts."""
    return _authority(tmp_path_factory.mktemp("stranger"))


@pytest.fixture(scope="package")
def _broker(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[SecureBroker]:
    broker = SecureBroker(tmp_path_factory.mktemp("broker"), authority, PASSWORD)
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()


@pytest.fixture
def broker(_broker: SecureBroker, authority: Authority) -> Iterator[SecureBroker]:
    """The broker; whatever a test makes it show, or whose password it changes, the next finds as it was."""
    yield _broker
    _broker.show(authority.issue("mended", "localhost", "127.0.0.1"))
    _broker.set_password(PASSWORD)


@pytest.fixture
def topics(broker: SecureBroker, txbox_topic: str) -> Topics:
    return Topics(broker.admin, broker.bootstrap_servers, txbox_topic)


@pytest.fixture(scope="package")
def _postgres(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[SecurePostgres]:
    found = programs()
    if found is None:
        pytest.skip(
            "there is no PostgreSQL in /usr/lib/postgresql, and the wheel's speaks no TLS: apt-get install postgresql"
        )
    folder = tmp_path_factory.mktemp("postgres")
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(parent.stat().st_mode | 0o055)  # in root's place another user runs it
    server = SecurePostgres(folder / "server", authority, found)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def postgres(_postgres: SecurePostgres, authority: Authority) -> Iterator[SecurePostgres]:
    """The PostgreSQL; the next test finds it as it was."""
    for user in ("relay", "bearer"):
        _postgres.user(user, PASSWORD)
    yield _postgres
    _postgres.show(authority.issue("mended", "localhost", "127.0.0.1"))
