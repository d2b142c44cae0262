"""The link to PostgreSQL is cut in each phase of a batch: one effect each, whatever the consumer heard of it."""

import psycopg

from tests.integration.consumer.group import Group
from tests.integration.consumer.traffic import effect
from tests.integration.toxiproxy import Proxy, through
from tests.waiting import eventually
from txbox.consumer import Received

#: a COMMIT that waits, after it was asked for and before it is done, for as long as a test holds the lock
_SLOW_COMMIT = """
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON numbered
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow();
"""


def test_link_is_cut_while_ids_are_claimed(group: Group, postgres_link: Proxy, conn: psycopg.Connection) -> None:
    with group.thread(url=through(group.url, postgres_link)):
        with conn.transaction():
            conn.execute("LOCK TABLE txbox.processed_messages IN SHARE MODE")
            group.traffic.write(60)
            eventually(group.waiting, within=60)
            postgres_link.drop()
        group.settled()


def test_link_is_cut_in_a_handler(group: Group, postgres_link: Proxy) -> None:
    ran: list[int] = []

    def cut(conn: psycopg.Connection, message: Received) -> None:
        effect(conn, message)
        ran.append(message.offset)
        if len(ran) == 100:
            postgres_link.drop()

    with group.thread(cut, url=through(group.url, postgres_link)):
        group.traffic.write(240)
        group.settled()
    assert len(ran) > 240


def test_link_is_cut_at_commit_whose_answer_is_lost(
    group: Group, postgres_link: Proxy, conn: psycopg.Connection
) -> None:
    conn.execute(_SLOW_COMMIT)
    with group.thread(url=through(group.url, postgres_link)) as member:
        with conn.transaction():
            conn.execute("SELECT pg_advisory_xact_lock(1)")
            group.traffic.write(60)
            eventually(group.waiting, within=60)
            postgres_link.drop()
            eventually(lambda: not member.health.report().checks["database"].ok, within=60)
        group.settled()
        assert group.outcomes(member, "duplicate") > 0, "nothing was committed unheard"


def test_link_is_cut_between_batches(group: Group, postgres_link: Proxy) -> None:
    with group.thread(url=through(group.url, postgres_link)):
        for _ in range(3):
            group.traffic.write(60)
            group.settled()
            postgres_link.drop()
        group.traffic.write(60)
        group.settled()
