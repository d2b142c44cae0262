"""Old ids leave the inbox; those of held messages, and younger ones, stay."""

import json
from typing import Any
from uuid import UUID

import pytest
from click.testing import CliRunner
from psycopg import Connection

from tests.integration.consumer.conftest import Settle
from tests.unit.consumer.records import record
from txbox.cli.main import txbox
from txbox.consumer import Consumer, Reject
from txbox.consumer.prune import prune
from txbox.consumer.received import read

DAY = 86400.0


def taken(conn: Connection[Any]) -> set[UUID]:
    return {id_ for (id_,) in conn.execute("SELECT message_id FROM txbox.processed_messages")}


@pytest.fixture
def ages(conn: Connection[Any]) -> None:
    """Twenty thousand ids of two consumers, from 0 to 19 days old."""
    conn.execute("INSERT INTO txbox.consumers (name) VALUES ('a'), ('b')")
    conn.execute(
        "INSERT INTO txbox.processed_messages "
        "(consumer_id, message_id, topic, kafka_partition, kafka_offset, processed_at)"
        " SELECT c.id, gen_random_uuid(), 't', 0, n, now() - n % 20 * interval '1 day' - interval '1 hour'"
        " FROM generate_series(1, 10000) AS n CROSS JOIN txbox.consumers AS c"
    )


@pytest.mark.usefixtures("ages")
def test_ids_older_than_that_go_and_the_others_stay(conn: Connection[Any]) -> None:
    told: list[int] = []
    assert prune(conn, 10 * DAY, dry_run=True) == 10_000
    assert len(taken(conn)) == 20_000
    assert prune(conn, 10 * DAY, consumer="a", tell=told.append) == 5_000
    assert len(told) == 4, "a transaction each"
    assert prune(conn, 10 * DAY) == 5_000
    assert prune(conn, 10 * DAY) == 0
    left = "SELECT count(*), max(now() - processed_at) < '10 days' FROM txbox.processed_messages"
    assert conn.execute(left).fetchone() == (10_000, True)


def test_the_id_of_a_held_message_stays(consumer: Consumer, settle_batch: Settle, conn: Connection[Any]) -> None:
    """Or a copy of it would be taken anew, and two would have the right to run it."""
    good, dead = record(), record("Bad", key=b"k")
    consumer.handler("T")(lambda *_: None)

    @consumer.handler("Bad")
    def bad(*_: object) -> None:
        raise Reject("no")

    settle_batch(good, dead, apart=True)
    conn.execute("UPDATE txbox.processed_messages SET processed_at = now() - interval '1 year'")
    assert prune(conn, DAY) == 1
    assert taken(conn) == {read(dead).id}


@pytest.mark.usefixtures("ages")
def test_a_person_prunes(conn: Connection[Any], txbox_database: str) -> None:
    command = ["inbox", "prune", "--database-url", txbox_database, "--older-than", "15d", "-o", "json"]
    done = CliRunner().invoke(txbox, [*command, "--dry-run"])
    assert (done.exit_code, json.loads(done.stdout)) == (0, {"would_prune": 5000})
    done = CliRunner().invoke(txbox, command)
    assert json.loads(done.stdout) == {"pruned": 5000}
