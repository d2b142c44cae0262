"""The lead, the cursor and what must be so in the database, with a real one."""

from collections.abc import Callable

import psycopg
import pytest

from tests.integration.conftest import Publish
from tests.integration.running import running
from tests.integration.topics import Topics
from tests.waiting import eventually
from txbox.daemon import Database, Kafka
from txbox.outbox import Message
from txbox.relay import Cursor, CursorAhead, Gap, Relay, Superseded, UnfitSequence, WrongCluster
from txbox.relay.ledger import Ledger
from txbox.schema import NewerDatabase, SchemaMissing

RelayOnce = Callable[..., Relay]


@pytest.fixture
def ledger(database: Database):
    ledger = Ledger.open(database, "default", {})
    yield ledger
    ledger.close()


@pytest.mark.parametrize(
    "cursor",
    [Cursor(), Cursor(7), Cursor(9, (Gap(1, 1), Gap(4, 8))), Cursor(2**62, (Gap(2**61, 2**62 - 1),))],
    ids=str,
)
def test_a_cursor_is_read_as_it_was_saved(ledger: Ledger, cursor: Cursor) -> None:
    facts = ledger.inspect()
    assert ledger.take("me", facts) == Cursor()
    ledger.save(cursor)
    assert ledger.take("me", facts) == cursor


def test_a_save_of_an_earlier_epoch_changes_nothing(ledger: Ledger) -> None:
    facts = ledger.inspect()
    ledger.take("first", facts)
    ledger.save(Cursor(5))
    ledger.conn.execute("UPDATE txbox.relay_cursor SET epoch = epoch + 1")
    with pytest.raises(Superseded):
        ledger.save(Cursor(9))
    assert ledger.take("second", facts) == Cursor(5)


def test_one_session_has_the_lead_and_its_end_frees_it(database: Database, ledger: Ledger) -> None:
    other, another_name = (Ledger.open(database, name, {}) for name in ("default", "another"))
    assert ledger.lock()
    assert not other.lock()
    assert another_name.lock()
    ledger.close()
    eventually(other.lock)
    other.close()
    another_name.close()


@pytest.mark.parametrize(
    ("break_it", "mend", "error"),
    [
        ("ALTER TABLE txbox.outbox ALTER seq SET CACHE 20", "SET CACHE 1", UnfitSequence),
        ("ALTER TABLE txbox.outbox ALTER seq SET INCREMENT 2", "SET INCREMENT 1", UnfitSequence),
        ("ALTER TABLE txbox.outbox ALTER seq SET CYCLE", "NO CYCLE", UnfitSequence),
        ("ALTER TABLE txbox.outbox SET UNLOGGED", "SET LOGGED", UnfitSequence),
        ("ALTER TABLE txbox.outbox ALTER seq RESTART", "setval", CursorAhead),
        ("TRUNCATE txbox.outbox RESTART IDENTITY", "setval", CursorAhead),
        ("UPDATE txbox.relay_cursor SET system_identifier = '1'", "other one", WrongCluster),
        ("DELETE FROM txbox.migration", "txbox db migrate", SchemaMissing),
    ],
)
def test_a_relay_refuses_what_would_lose_rows_and_tells_the_mend(
    conn: psycopg.Connection,
    publish: Publish,
    relay_once: RelayOnce,
    database: Database,
    kafka: Kafka,
    topic: str,
    break_it: str,
    mend: str,
    error: type[Exception],
) -> None:
    publish(Message("T", topic=topic), Message("T", topic=topic))
    relay_once()
    conn.execute(break_it.encode())
    with pytest.raises(error, match=mend):
        Relay(database, kafka).run()


def test_a_leader_goes_on_beside_newer_tables_and_one_that_starts_is_refused(
    conn: psycopg.Connection, database: Database, kafka: Kafka, ledger: Ledger
) -> None:
    ledger.take("me", ledger.inspect())
    conn.execute("INSERT INTO txbox.migration (version, name, checksum) VALUES (99, 'later', 'x')")
    ledger.inspect()
    ledger.save(Cursor())
    with pytest.raises(NewerDatabase):
        Relay(database, kafka).run()


def test_a_leader_whose_epoch_was_taken_saves_no_more_and_leads_anew(
    conn: psycopg.Connection, database: Database, kafka: Kafka, publish: Publish, topics: Topics, topic: str
) -> None:
    relay = Relay(database, kafka)
    with running(relay):
        eventually(lambda: relay.health.report().ready)
        conn.execute("UPDATE txbox.relay_cursor SET epoch = epoch + 5")
        [id_] = publish(Message("T", topic=topic))
        eventually(lambda: relay.registry.get_sample_value("txbox_relay_epoch") == 7)
        eventually(lambda: cursor(conn) == (1, 7))
    assert set(topics.ids(topic)) == {str(id_)}


def cursor(conn: psycopg.Connection) -> tuple[int, int]:
    """The saved tail, and the epoch."""
    row = conn.execute("SELECT tail, epoch FROM txbox.relay_cursor").fetchone()
    assert row is not None
    return row
