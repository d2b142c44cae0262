"""What is done to the outbox's sequence, or to the outbox, before a relay starts and while it leads; and the mends."""

from collections.abc import Callable

import psycopg
import pytest

from tests.integration.conftest import Publish
from tests.integration.running import running
from tests.integration.topics import Topics
from tests.waiting import eventually
from txbox.daemon import Database, Kafka
from txbox.outbox import Message
from txbox.relay import CursorAhead, Relay, UnfitSequence

RelayOnce = Callable[..., Relay]

ALTER = 'ALTER TABLE "txbox"."outbox" ALTER COLUMN seq'
SET_FORTH = """SELECT setval(pg_get_serial_sequence('"txbox"."outbox"', 'seq'), 3)"""
SET_BACK = "SELECT setval(pg_get_serial_sequence('txbox.outbox', 'seq'), 1)"
GO_ON = """UPDATE "txbox"."relay_cursor" SET sequence_oid = NULL WHERE name = 'default'"""
FROM_THE_START = """DELETE FROM "txbox"."relay_cursor" WHERE name = 'default'"""
SUBSCRIBE = """CREATE PUBLICATION here FOR TABLE txbox.outbox;
CREATE SUBSCRIPTION there CONNECTION '{url}' PUBLICATION here
    WITH (create_slot = false, slot_name = NONE, enabled = false, copy_data = false)
"""

#: what is done, what is told about it, and the statements that mend it, in their order
CASES = {
    "cache": (f"{ALTER} SET CACHE 20", "CACHE 20", [f"{ALTER} SET CACHE 1", GO_ON]),
    "increment": (f"{ALTER} SET INCREMENT 2", "rise by one", [f"{ALTER} SET INCREMENT 1 SET NO CYCLE", GO_ON]),
    "cycle": (f"{ALTER} SET CYCLE", "rise by one", [f"{ALTER} SET INCREMENT 1 SET NO CYCLE", GO_ON]),
    "unlogged": (
        "ALTER TABLE txbox.outbox SET UNLOGGED",
        "unlogged",
        ['ALTER TABLE "txbox"."outbox" SET LOGGED', GO_ON],
    ),
    "restarted": (f"{ALTER} RESTART", "stands at 0", [SET_FORTH, GO_ON]),
    "set back": (SET_BACK, "stands at 1", [SET_FORTH]),
    "truncated": ("TRUNCATE txbox.outbox RESTART IDENTITY", "stands at 0", [SET_FORTH, GO_ON]),
    "set forth again": (f"{ALTER} RESTART; {SET_FORTH}", "made anew", [FROM_THE_START]),
    "subscribed": (SUBSCRIBE, "target of a subscription", ["DROP SUBSCRIPTION there"]),
}


@pytest.mark.parametrize("leading", [False, True], ids=["at start", "while leading"])
@pytest.mark.parametrize("case", CASES)
def test_outbox_that_breaks_a_rule_is_refused_and_the_mends_that_are_told_mend(
    conn: psycopg.Connection,
    database: Database,
    kafka: Kafka,
    publish: Publish,
    relay_once: RelayOnce,
    topics: Topics,
    topic: str,
    monkeypatch: pytest.MonkeyPatch,
    case: str,
    *,
    leading: bool,
) -> None:
    monkeypatch.setattr("txbox.relay.loop._OUTLOOK_EVERY", 0.1)
    break_it, told, mends = CASES[case]
    ids = list(map(str, publish(*(Message("T", topic=topic) for _ in range(3)))))

    def broken() -> None:
        for statement in break_it.format(url=database.url).split(";"):
            conn.execute(statement.encode())

    def lead() -> None:
        with running(Relay(database, kafka)) as ended:
            eventually(lambda: conn.execute("SELECT tail FROM txbox.relay_cursor").fetchone() == (3,))
            broken()
            eventually(ended.done)

    if leading:
        with pytest.raises((UnfitSequence, CursorAhead), match=told):
            lead()
    else:
        relay_once()
        broken()
    for mend in mends:
        with pytest.raises((UnfitSequence, CursorAhead)) as refused:
            relay_once()
        assert mend in str(refused.value) or case == "subscribed"
        conn.execute(mend.encode())
    ids += map(str, publish(Message("T", topic=topic)))
    relay_once()
    assert list(dict.fromkeys(topics.ids(topic))) == ids
