"""One cluster for all of these tests: three brokers take seconds to start, and two cores."""

from collections.abc import Iterator

import pytest

from tests.integration.faults.cluster import Cluster
from tests.integration.topics import Topics


@pytest.fixture(scope="package")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def cluster(started: Cluster) -> Iterator[Cluster]:
    """The three brokers; whatever a test does to them, the next one finds all of them running, and denying."""
    yield started
    started.mend()
    started.deny_all()


@pytest.fixture
def topics(cluster: Cluster, txbox_topic: str) -> Topics:
    """Topics of three copies, of which two must have a message before it is acked."""
    return Topics(cluster.admin, cluster.bootstrap_servers, txbox_topic, copies=3)
