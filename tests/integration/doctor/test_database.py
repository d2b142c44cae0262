"""Faults of the database, made on purpose: each is named, with what mends it."""

import time
from collections.abc import Mapping
from pathlib import Path

import psycopg
import pytest
from psycopg import Connection

from tests.integration.doctor.conftest import Look
from tests.integration.pooler import pooled
from txbox.daemon import Database
from txbox.doctor import Level
from txbox.outbox import Message, Outbox
from txbox.sandbox.servers import free_ports
from txbox.schema import sql


def test_a_healthy_house_has_nothing_but_oks_and_words(look: Look, urls: Mapping[str, str], topic: str) -> None:
    found = look(topic)
    levels = {name: finding.level for name, finding in found.items()}
    # No relay has ever run here.
    assert {name for name, level in levels.items() if level is not Level.OK} == {"relay", "standby"}
    assert {levels["relay"], levels["standby"]} == {Level.WARN}


def test_a_viewer_is_told_the_same(look: Look, urls: Mapping[str, str], topic: str) -> None:
    found = look(topic, url=urls["txbox_viewer"])
    assert {name for name, finding in found.items() if finding.level is not Level.OK} == {"relay", "standby"}


def test_no_database_is_told_with_its_address_and_what_hangs_on_it_is_skipped(look: Look, topic: str) -> None:
    [port] = free_ports(1)
    found = look(topic, url=f"postgresql://postgres@127.0.0.1:{port}/shop")
    assert found["database"].level is Level.FAIL
    assert str(port) in found["database"].why
    assert "database.url" in found["database"].mend
    assert (found["schema"].level, found["schema"].why) == (Level.SKIPPED, "database failed")
    assert (found["dead"].level, found["dead"].why) == (Level.SKIPPED, "database failed")
    assert found["kafka"].level is Level.OK


def test_a_database_that_is_not_there_is_named(look: Look, database: Database) -> None:
    found = look(url=database.url + "_and_more")
    assert (found["database"].level, "does not exist" in found["database"].why) == (Level.FAIL, True)


@pytest.mark.parametrize(
    ("fault", "why", "mend"),
    [
        ("DROP SCHEMA txbox CASCADE", "is not there", "txbox db migrate"),
        (f"DROP SCHEMA txbox CASCADE; {sql(to=2)}", "is at version 2", "txbox db migrate"),
        ("INSERT INTO txbox.migration VALUES (999, 'of later', 'x')", "a newer txbox migrated it", ""),
        ("UPDATE txbox.migration SET checksum = 'x' WHERE version = 2", "was edited after it ran", ""),
    ],
    ids=["missing", "old", "newer", "edited"],
)
def test_tables_of_another_version(look: Look, conn: Connection, fault: str, why: str, mend: str) -> None:
    conn.execute(fault.encode())
    found = look()
    assert (found["schema"].level, why in found["schema"].why, found["schema"].mend) == (Level.FAIL, True, mend)
    assert (found["guards"].level, found["guards"].why) == (Level.SKIPPED, "schema failed")


@pytest.mark.parametrize(
    ("fault", "level", "why"),
    [
        ("REVOKE SELECT ON txbox.outbox FROM txbox_relay", Level.FAIL, "missing: txbox_relay SELECT on outbox"),
        (
            "REVOKE INSERT (headers) ON txbox.outbox FROM txbox_writer",
            Level.FAIL,
            "txbox_writer INSERT on outbox.headers",
        ),
        ("REVOKE USAGE ON SCHEMA txbox FROM txbox_viewer", Level.FAIL, "txbox_viewer USAGE on schema"),
        ("REVOKE SELECT ON SEQUENCE txbox.outbox_seq_seq FROM txbox_relay", Level.FAIL, "on outbox_seq_seq"),
        ("GRANT UPDATE ON txbox.outbox TO txbox_writer", Level.WARN, "txbox_writer UPDATE on outbox"),
        ("GRANT INSERT (seq) ON txbox.outbox TO txbox_writer", Level.WARN, "txbox_writer INSERT on outbox.seq"),
        ("GRANT SELECT ON txbox.held_messages TO PUBLIC", Level.WARN, "PUBLIC SELECT on held_messages"),
        ("GRANT EXECUTE ON FUNCTION txbox.uuid7() TO PUBLIC", Level.WARN, "PUBLIC EXECUTE on uuid7()"),
    ],
)
def test_rights_that_are_missing_or_too_many(
    look: Look, conn: Connection, urls: Mapping[str, str], fault: str, level: Level, why: str
) -> None:
    conn.execute(fault.encode())
    found = look()["roles"]
    assert (found.level, found.mend) == (level, "txbox db roles --apply, as the owner of the tables")
    assert why in found.why


SEQ = "ALTER TABLE txbox.outbox ALTER COLUMN seq"
CURSOR = "INSERT INTO txbox.relay_cursor (name, tail, system_identifier, sequence_oid, sequence_filenode)"


@pytest.mark.parametrize(
    ("fault", "why", "mend"),
    [
        (f"{SEQ} SET CACHE 10", "CACHE 10", "SET CACHE 1"),
        (f"{SEQ} SET INCREMENT 2", "does not rise by one", "SET INCREMENT 1"),
        (f"{SEQ} SET CYCLE", "does not rise by one", "SET NO CYCLE"),
        (
            f"{SEQ} DROP IDENTITY",
            "no identity column",
            'ALTER TABLE "txbox"."outbox" ALTER COLUMN seq ADD GENERATED ALWAYS',
        ),
        ("ALTER TABLE txbox.outbox SET UNLOGGED", "a crash would empty it", "SET LOGGED"),
        (f"{CURSOR} VALUES ('default', 100, NULL, NULL, NULL)", "published up to seq 100", "SELECT setval("),
        (f"{CURSOR} VALUES ('default', 0, '1', NULL, NULL)", "system identifier 1", "txbox relay accept-cluster"),
        (
            f"{CURSOR} VALUES ('default', 0, NULL, 1, 1)",
            "altered, restarted or made anew",
            'UPDATE "txbox"."relay_cursor"',
        ),
    ],
)
def test_each_guard_of_the_relay_is_asked(look: Look, conn: Connection, fault: str, why: str, mend: str) -> None:
    conn.execute(fault.encode())
    found = look()["guards"]
    assert found.level is Level.FAIL
    assert why in found.why
    assert mend in found.mend


def test_rows_that_are_hidden_from_the_relay(look: Look, conn: Connection, urls: Mapping[str, str]) -> None:
    conn.execute("ALTER TABLE txbox.outbox ENABLE ROW LEVEL SECURITY")
    found = look(url=urls["txbox_relay"])["guards"]
    assert (found.level, "row-level security" in found.why, "BYPASSRLS" in found.mend) == (Level.FAIL, True, True)


def test_a_pooler_that_shares_sessions(look: Look, database: Database, open_folder: Path) -> None:
    with pooled(open_folder, database.url, "transaction") as url:
        found = look(url=url)
    assert found["session"].level is Level.FAIL
    assert "a pooler in transaction mode" in found["session"].why
    assert "connect directly" in found["session"].mend
    assert (found["guards"].level, found["guards"].why) == (Level.SKIPPED, "session failed")


def test_a_transaction_that_stays_open(
    look: Look, conn: Connection, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("txbox.doctor.database._LONG", 0.0)
    with psycopg.connect(database.url, application_name="forgotten shell") as writer:
        Outbox().add(writer, Message("Forgotten", {}, topic="t"))
        found = look()["transactions"]
        assert (found.level, "forgotten shell" in found.why) == (Level.WARN, True)
        assert str(writer.info.backend_pid) in found.why
        assert "pg_terminate_backend" in found.mend
        writer.rollback()
    assert look()["transactions"].level is Level.OK


@pytest.mark.parametrize(
    ("ahead", "level"), [(0.0, Level.OK), (10.0, Level.WARN), (-10.0, Level.WARN), (4000.0, Level.FAIL)]
)
def test_a_clock_that_is_not_ours(look: Look, ahead: float, level: Level) -> None:
    found = look(doctor={"clock": lambda: time.time() + ahead})["database clock"]
    assert found.level is level
    if ahead:
        assert ("behind" if ahead > 0 else "ahead of") in found.why
        assert "NTP" in found.mend


def test_who_may_not_look_is_told_what_would_let_him(look: Look, urls: Mapping[str, str]) -> None:
    found = look(url=urls["txbox_writer"])["schema"]
    assert (found.level, "GRANT txbox_viewer" in found.mend) == (Level.SKIPPED, True)
