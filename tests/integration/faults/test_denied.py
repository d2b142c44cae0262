"""A user who may not do what publishing takes: the relay says what to grant, waits, and goes on when it was granted."""

from collections.abc import Callable, Iterator

import psycopg
import pytest
from confluent_kafka.admin._acl import AclOperation

from tests.integration.conftest import Publish
from tests.integration.faults.cluster import Cluster
from tests.integration.faults.traffic import Traffic
from tests.integration.running import running
from tests.integration.topics import Topics, repeated
from tests.waiting import eventually
from txbox.daemon import Database
from txbox.outbox import Message
from txbox.relay import AccessDenied, Relay, RelayConfig
from txbox.relay.wishes import Wish, wish

WRITE, DESCRIBE, CONFIGS = AclOperation.WRITE, AclOperation.DESCRIBE, AclOperation.DESCRIBE_CONFIGS


@pytest.fixture
def relay(database: Database, cluster: Cluster) -> Iterator[Relay]:
    """A relay that may do what it was granted, and holds what Kafka refuses: a denied topic is not for holding."""
    relay = Relay(database, cluster.user(), RelayConfig(on_undeliverable="hold"))
    with running(relay):
        yield relay


@pytest.fixture
def open_(cluster: Cluster, topics: Topics) -> str:
    """A topic that the relay may write to."""
    topic = topics.make(".open")
    cluster.allow(topic, WRITE, CONFIGS)
    return topic


def terms(relay: Relay) -> float:
    return relay.registry.get_sample_value("txbox_relay_epoch") or 0.0


def why(relay: Relay) -> str:
    return relay.health.report().checks["publishing"].why


def waits(relay: Relay) -> Callable[[], bool]:
    """Whether it has tried once more, in vain; it must not say that it is ready meanwhile."""
    until = terms(relay) + 1

    def waited() -> bool:
        assert not relay.health.report().ready
        return terms(relay) >= until

    return waited


@pytest.mark.parametrize("granted", [(WRITE,), (DESCRIBE, CONFIGS), (CONFIGS,)], ids=["configs", "write", "describe"])
def test_a_denied_topic_is_waited_for_and_others_are_not_flooded(
    database: Database,
    cluster: Cluster,
    conn: psycopg.Connection,
    relay: Relay,
    topics: Topics,
    open_: str,
    granted: tuple[AclOperation, ...],
) -> None:
    denied = topics.make(".denied", partitions=2)
    cluster.allow(denied, *granted)
    traffic = Traffic(database, open_, denied)
    traffic.write(100)
    eventually(lambda: denied in why(relay) and "Grant it Write and DescribeConfigs" in why(relay))
    # In the term after it has found out it publishes what stood before the first denied message.
    found_out = terms(relay)
    eventually(lambda: terms(relay) >= found_out + 2)
    sent = topics.count(open_)
    eventually(waits(relay))
    eventually(waits(relay))
    assert topics.count(open_) == sent
    assert max(map(topics.ids(open_).count, repeated(topics.ids(open_))), default=0) <= 2
    cluster.allow(denied, WRITE, CONFIGS)
    traffic.arrived(topics)
    eventually(lambda: relay.health.report().ready)
    assert conn.execute("SELECT FROM txbox.outbox_held").rowcount == 0
    # Taken away from a relay that runs.
    cluster.deny(denied, WRITE)
    traffic.write(100)
    eventually(lambda: denied in why(relay))
    assert not relay.health.report().ready
    cluster.allow(denied, WRITE)
    traffic.arrived(topics)
    eventually(lambda: relay.health.report().ready)


def test_a_user_who_may_write_nowhere_is_told_so(
    database: Database, cluster: Cluster, publish: Publish, topics: Topics
) -> None:
    topic = topics.make()
    cluster.allow(topic, DESCRIBE, CONFIGS)
    ids = publish(Message("T", topic=topic))
    with pytest.raises(AccessDenied, match=r"the cluster.*Cluster authorization failed.*Grant it Write on the topics"):
        Relay(database, cluster.user()).run(once=True)
    relay = Relay(database, cluster.user())
    with running(relay):
        eventually(lambda: "the cluster" in why(relay))
        eventually(waits(relay))
        cluster.allow(topic, WRITE)
        eventually(lambda: relay.health.report().ready)
    assert topics.ids(topic) == list(map(str, ids))


def test_a_topic_that_may_not_be_made_is_named(
    database: Database, cluster: Cluster, publish: Publish, topics: Topics, open_: str
) -> None:
    publish(Message("T", topic=topics.prefix))
    cluster.allow(topics.prefix, DESCRIBE, CONFIGS)
    with pytest.raises(AccessDenied, match=rf"'{topics.prefix}'.*and Create, if"):
        Relay(database, cluster.user(), RelayConfig(create_topics=True)).run(once=True)
    cluster.allow(topics.prefix, WRITE, AclOperation.CREATE)
    Relay(database, cluster.user(), RelayConfig(create_topics=True)).run(once=True)
    assert topics.count(topics.prefix) == 1


def test_a_wrong_password_is_told(database: Database, cluster: Cluster) -> None:
    relay = Relay(database, cluster.user("wrong"))
    with running(relay):
        eventually(lambda: "Authentication failed" in relay.health.report().checks["kafka"].why)


@pytest.mark.parametrize("withdrawn", [WRITE, CONFIGS], ids=["write", "configs"])
def test_a_retry_of_a_held_message_that_is_denied_holds_up_nobody(
    cluster: Cluster,
    conn: psycopg.Connection,
    publish: Publish,
    relay: Relay,
    topics: Topics,
    open_: str,
    withdrawn: AclOperation,
) -> None:
    denied = topics.make(".denied", max_message_bytes="1000")
    cluster.allow(denied, WRITE, CONFIGS)
    large, small = Message("Large", "x" * 3000, topic=denied, key="a"), Message("Small", topic=denied, key="a")
    ids = publish(large, small, Message("Large", "x" * 3000, topic=denied, key="b"))
    eventually(lambda: conn.execute("SELECT FROM txbox.outbox_held").rowcount == 3)
    topics.configure(denied, "max.message.bytes", "100000")
    cluster.deny(denied, withdrawn)
    term = terms(relay)
    wish(conn, Wish.RETRY, topic=denied)
    noted = "SELECT FROM txbox.outbox_held WHERE attempts = 1 AND wish IS NULL AND error ILIKE '%authorization failed%'"
    eventually(lambda: conn.execute(noted).rowcount == 2)
    others = publish(*(Message("Other", topic=open_) for _ in range(100)))
    eventually(lambda: topics.ids(open_) == list(map(str, others)))
    assert (terms(relay), relay.health.report().ready) == (term, True)
    cluster.allow(denied, withdrawn)
    wish(conn, Wish.RETRY, topic=denied)
    eventually(lambda: conn.execute("SELECT FROM txbox.outbox_held").rowcount == 0)
    assert sorted(topics.ids(denied)) == sorted(map(str, ids))
    assert [id_ for id_ in topics.ids(denied) if id_ in map(str, ids[:2])] == [str(ids[0]), str(ids[1])]
    assert terms(relay) == term
