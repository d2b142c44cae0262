"""The database comes from a backup or from another cluster, or is reached through a pooler, or with too few rights."""

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner
from psycopg.conninfo import make_conninfo

from tests.integration.conftest import Publish
from tests.integration.pooler import pooled
from tests.integration.running import running
from tests.integration.standby import copied, dumped, execute, restored, server
from tests.integration.topics import Topics
from tests.waiting import eventually
from txbox.cli.main import main
from txbox.daemon import Database, Kafka
from txbox.outbox import Message, Outbox
from txbox.relay import HiddenRows, Relay, SharedSession, WrongCluster
from txbox.sandbox.postgres import Postgres

RelayOnce = Callable[..., Relay]


def write(server: Postgres, topic: str, count: int) -> list[str]:
    """Commit messages; return their ids."""
    with psycopg.connect(server.url) as conn:
        return list(map(str, Outbox().add_many(conn, (Message("T", topic=topic, key="k") for _ in range(count)))))


def test_restored_backup_is_published_from_its_own_cursor_on(
    primary: Postgres, kafka: Kafka, topics: Topics, topic: str
) -> None:
    relay = Relay(Database(url=primary.url), kafka)
    before = write(primary, topic, 5)
    Relay(Database(url=primary.url), kafka).run(once=True)
    pending = write(primary, topic, 3)
    backup = copied(primary)
    with running(relay):
        forgotten = write(primary, topic, 20)
        eventually(lambda: topics.ids(topic) == before + pending + forgotten)
        restored(primary, backup)
        after = write(primary, topic, 2)
        expected = before + pending + forgotten + pending + after
        eventually(lambda: len(topics.ids(topic)) >= len(expected), within=60)
        covered = "SELECT tail = (SELECT max(seq) FROM txbox.outbox) FROM txbox.relay_cursor"
        eventually(lambda: execute(primary, covered) == [(True,)])
        assert topics.ids(topic) == expected


def test_database_of_another_cluster_is_published_once_that_is_accepted(
    primary: Postgres, kafka: Kafka, topics: Topics, topic: str, open_folder: Path
) -> None:
    ids = write(primary, topic, 5)
    Relay(Database(url=primary.url), kafka).run(once=True)
    ids += write(primary, topic, 3)
    with server(open_folder / "other", primary.program("postgres").parent) as other:
        dumped(primary, other)
        ids += write(other, topic, 2)
        with pytest.raises(WrongCluster, match="txbox relay accept-cluster"):
            Relay(Database(url=other.url), kafka).run(once=True)
        assert topics.ids(topic) == ids[:5]
        accepted = CliRunner().invoke(main, ["relay", "accept-cluster", "--database-url", other.url])  # type: ignore[arg-type]
        assert accepted.exit_code == 0, accepted.output
        Relay(Database(url=other.url), kafka).run(once=True)
    assert topics.ids(topic) == ids


@pytest.mark.parametrize("mode", ["transaction", "statement"])
def test_pooler_that_shares_sessions_is_refused(
    database: Database, kafka: Kafka, publish: Publish, open_folder: Path, topics: Topics, topic: str, mode: str
) -> None:
    publish(Message("T", topic=topic))
    with pooled(open_folder, database.url, mode) as url, pytest.raises(SharedSession, match="pool_mode = session"):
        Relay(Database(url=url), kafka).run(once=True)
    assert topics.ids(topic) == []


def test_pooler_that_keeps_sessions_apart_will_do(
    database: Database, kafka: Kafka, publish: Publish, open_folder: Path, topics: Topics, topic: str
) -> None:
    ids = publish(Message("T", topic=topic))
    with pooled(open_folder, database.url, "session") as url, running(Relay(Database(url=url), kafka)):
        ids += publish(Message("T", topic=topic))
        eventually(lambda: topics.ids(topic) == list(map(str, ids)))


@pytest.fixture
def of_role(database: Database, conn: psycopg.Connection) -> Iterator[Database]:
    """The test's database for a role that may do what a relay must, and is no superuser."""
    role = "relay_of_" + conn.info.dbname
    conn.execute(
        f"""
        CREATE ROLE {role} LOGIN;
        GRANT USAGE ON SCHEMA txbox TO {role};
        GRANT SELECT ON ALL TABLES IN SCHEMA txbox TO {role};
        GRANT SELECT ON ALL SEQUENCES IN SCHEMA txbox TO {role};
        GRANT DELETE ON txbox.outbox TO {role};
        GRANT INSERT, UPDATE ON txbox.relay_cursor TO {role};
        GRANT INSERT, UPDATE, DELETE ON txbox.outbox_held TO {role};
        """.encode()
    )
    yield Database(url=make_conninfo(database.url, user=role))
    conn.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())


@pytest.mark.parametrize("table", ["outbox", "relay_cursor", "outbox_held"])
def test_row_security_is_an_error_and_no_silent_loss(
    conn: psycopg.Connection,
    of_role: Database,
    kafka: Kafka,
    publish: Publish,
    topics: Topics,
    topic: str,
    table: str,
) -> None:
    ids = publish(Message("T", topic=topic))

    def lead() -> None:
        with running(Relay(of_role, kafka)) as ended:
            eventually(lambda: topics.ids(topic) == list(map(str, ids)))
            conn.execute(f"ALTER TABLE txbox.{table} ENABLE ROW LEVEL SECURITY".encode())
            ids.extend(publish(Message("T", topic=topic)))
            eventually(ended.done)

    with pytest.raises(HiddenRows, match=f"row-level security on txbox.{table}"):
        lead()
    with pytest.raises(HiddenRows) as refused:
        Relay(of_role, kafka).run(once=True)
    mend = f"ALTER TABLE txbox.{table} DISABLE ROW LEVEL SECURITY"
    assert f'Mend: ALTER ROLE "{refused.value.role}" BYPASSRLS, or {mend}' in str(refused.value)
    conn.execute(mend.encode())
    Relay(of_role, kafka).run(once=True)
    assert list(dict.fromkeys(topics.ids(topic))) == list(map(str, ids))


def test_role_that_may_not_read_the_sequence_is_told_so(
    conn: psycopg.Connection, of_role: Database, kafka: Kafka, publish: Publish, topics: Topics, topic: str
) -> None:
    ids = publish(Message("T", topic=topic))
    Relay(of_role, kafka).run(once=True)
    ids += publish(Message("T", topic=topic))
    role = "relay_of_" + conn.info.dbname
    conn.execute(f"REVOKE ALL ON ALL SEQUENCES IN SCHEMA txbox FROM {role}".encode())
    with pytest.raises(HiddenRows, match="may not read the outbox's sequence") as refused:
        Relay(of_role, kafka).run(once=True)
    conn.execute(str(refused.value).partition("Mend: ")[2].encode())
    Relay(of_role, kafka).run(once=True)
    assert topics.ids(topic) == list(map(str, ids))
