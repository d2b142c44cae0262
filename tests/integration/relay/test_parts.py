"""Whole partitions go when every relay is done with them and every row is old enough; never one before."""

import json
from collections.abc import Iterator
from contextlib import closing
from threading import Thread
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from tests.integration.conftest import Publish
from tests.integration.relay.test_cursor_facts import Holders, holders
from tests.integration.relay.test_prune import CURSOR, WEEK, RelayOnce, fill, pruner, seqs
from tests.integration.running import ROOT, running
from tests.integration.schema.catalog import catalog
from tests.integration.topics import Topics
from tests.waiting import eventually
from txbox.cli.main import txbox
from txbox.daemon import Database, Kafka
from txbox.outbox import Message, Outbox
from txbox.relay import Relay, RelayConfig
from txbox.relay.errors import Superseded, UnfitSequence
from txbox.relay.ledger import Ledger
from txbox.relay.parts import Parts
from txbox.relay.poll import SETTINGS, Poll
from txbox.relay.prune import prune
from txbox.relay.pruner import Pruner
from txbox.schema import SchemaBusy, Step, layout, partition
from txbox.schema.partitions import AHEAD, FAR

__all__ = ["holders", "pruner"]

Connection = psycopg.Connection[Any]

#: the first seq of an outbox that was partitioned before anybody wrote
FIRST = 2 * FAR


@pytest.fixture
def parted(conn: Connection) -> Connection:
    """An outbox in partitions of ten."""
    partition(conn, rows=10)
    return conn


def names(conn: Connection) -> list[str]:
    return [part.name for part in layout(conn).parts or ()]


def left(conn: Connection) -> list[int]:
    """What the outbox holds, counted from the first."""
    return [seq - FIRST for seq in seqs(conn)]


@pytest.mark.parametrize(
    ("cursors", "stay"),
    [
        ((), range(40)),
        (((0, "[]"),), range(40)),
        (((39, "[]"),), range(0)),
        (((38, "[]"),), range(30, 40)),
        (((29, "[]"),), range(30, 40)),
        (((28, "[]"),), range(20, 40)),
        (((39, "[10,10]"),), range(10, 40)),
        (((39, "[9,9]"),), range(40)),
        (((39, "[]"), (15, "[]")), range(10, 40)),
        (((39, "[25,25]"), (39, "[31,31]")), range(20, 40)),
    ],
    ids=str,
)
def test_a_partition_with_a_gap_or_above_the_tail_of_any_cursor_stays(
    parted: Connection, pruner: Connection, cursors: tuple[tuple[int, str], ...], stay: range
):
    fill(parted, 40)
    for n, (tail, gap) in enumerate(cursors):
        gaps = [str(FIRST + each) for each in json.loads(gap)]
        parted.execute(CURSOR, (f"relay {n}", FIRST + tail, f"{{[{','.join(gaps)}]}}" if gaps else "{}"))
    assert prune(pruner, WEEK, dry_run=True) == 40 - len(stay)
    assert left(parted) == list(range(40))
    assert prune(pruner, WEEK) == 40 - len(stay)
    assert left(parted) == list(stay)


def test_numbers_that_were_jumped_over_do_not_count_as_waiting(conn: Connection, database: Database):
    fill(conn, 5)
    with closing(Ledger.open(database, "default", SETTINGS)) as ledger:
        partition(conn, rows=10)
        assert ledger.outlook(5) == (0, None)
        fill(conn, 3)
        assert ledger.outlook(5)[0] == 3


def test_a_partition_that_is_partly_young_stays_until_all_of_it_is_old(parted: Connection, pruner: Connection):
    for days, rows in ((8, 10), (8, 4), (6, 1), (8, 5), (8, 10)):
        fill(parted, rows, days=days)
    parted.execute(CURSOR, ("default", FIRST + 29, "{}"))
    assert prune(pruner, WEEK) == 20
    assert left(parted) == list(range(10, 20))
    assert prune(pruner, 5 * 86_400.0) == 10


def test_what_lies_above_the_last_bounded_partition_is_pruned_row_by_row(parted: Connection, pruner: Connection):
    fill(parted, AHEAD * 10 + 7)
    fill(parted, 3, days=1)
    parted.execute(CURSOR, ("default", FIRST + AHEAD * 10 + 9, "{}"))
    assert prune(pruner, WEEK) == AHEAD * 10 + 7
    assert left(parted) == [AHEAD * 10 + 7 + n for n in range(3)]
    assert names(parted) == ["outbox_end"]


def test_a_partition_that_is_done_no_more_when_the_lock_is_there_is_not_dropped(parted: Connection, pruner: Connection):
    fill(parted, 20)
    parted.execute(CURSOR, ("default", FIRST + 19, "{}"))
    parts = Parts(pruner, "txbox", WEEK)
    ripe = parts.ripe(lambda _: None)
    assert [rows for _, rows in ripe] == [0, 10, 10], "the table that was there before has none"
    parted.execute(CURSOR, ("new", FIRST + 9, "{}"))
    assert [parts.drop(part, patience=0.0) for part, _ in ripe] == [0, 10, 0]
    assert left(parted) == list(range(10, 20))


def test_a_partition_that_somebody_else_dropped_counts_for_nobody(parted: Connection, pruner: Connection):
    fill(parted, 10)
    parted.execute(CURSOR, ("default", FIRST + 9, "{}"))
    one, two = Parts(pruner, "txbox", WEEK), Parts(pruner, "txbox", WEEK)
    both = [(parts, parts.ripe(lambda _: None)) for parts in (one, two)]
    assert [[parts.drop(part, patience=0.0) for part, _ in ripe] for parts, ripe in both] == [[0, 10], [0, 0]]


def test_a_writer_that_is_open_keeps_partitions_and_no_other_writer_waits(
    parted: Connection, database: Database, pruner: Connection
):
    fill(parted, 10)
    parted.execute(CURSOR, ("default", FIRST + 9, "{}"))
    parts = Parts(pruner, "txbox", WEEK)
    with psycopg.connect(database.url) as open_writer:
        Outbox().add(open_writer, Message("Open", topic="t"))
        [_, (ripe, _)] = parts.ripe(lambda _: None)
        with pytest.raises(SchemaBusy):
            parts.drop(ripe, patience=0.0)
        parted.execute("SET lock_timeout = '100ms'")
        fill(parted, 1)
    assert parts.drop(ripe, patience=10.0) == 10


def test_who_has_drawn_a_seq_from_a_partitioned_outbox_is_a_holder(
    parted: Connection, writer: Connection, holders: Holders
):
    writer.execute("INSERT INTO txbox.outbox (topic, type) VALUES ('t', 'Happened')")
    [holder] = holders()
    assert holder.xid is not None
    writer.execute("ROLLBACK")
    assert holders() == set()


def test_an_open_writer_keeps_its_gap_undecided_over_the_making_of_partitions(
    conn: Connection, database: Database, publish: Publish, relay_once: RelayOnce, topics: Topics
):
    topic = topics.make()
    ids = publish(*(Message("T", topic=topic) for _ in range(5)))
    relay_once()
    partition(conn, rows=10)
    with psycopg.connect(database.url) as late:
        ids += [Outbox().add(late, Message("T", topic=topic))]
        after = publish(*(Message("T", topic=topic) for _ in range(25)))
        relay_once()
        late.commit()
    relay_once()
    assert topics.ids(topic) == [str(id_) for id_ in (*ids[:5], *after, ids[5])]


def test_a_partition_that_is_half_detached_is_told_before_its_rows_pass_for_rolled_back(
    parted: Connection, database: Database
):
    parted.execute(
        "UPDATE pg_inherits SET inhdetachpending = true WHERE inhrelid = 'txbox.outbox_p2000000000000'::regclass"
    )
    ledger = Ledger.open(database, "default", SETTINGS)
    with pytest.raises(UnfitSequence, match=r"outbox_p2000000000000 is half detached.*FINALIZE"):
        ledger.inspect()
    ledger.close()


def test_an_unlogged_partition_is_told(parted: Connection, database: Database):
    parted.execute("ALTER TABLE txbox.outbox_p2000000000000 SET UNLOGGED")
    ledger = Ledger.open(database, "default", SETTINGS)
    with pytest.raises(UnfitSequence, match="unlogged"):
        ledger.inspect()
    ledger.close()


def test_a_leader_makes_partitions_ahead_and_drops_old_ones(
    parted: Connection, database: Database, kafka: Kafka, publish: Publish, topics: Topics, topic: str
):
    relay = Relay(database, kafka, RelayConfig(retention=0.001))
    ids = []
    with running(relay):
        for _ in range(12):
            ids += publish(*(Message("T", topic=topic) for _ in range(10)))
            last = FIRST + len(ids) - 10
            eventually(lambda: (layout(parted).parts or ())[0].upper is None or names(parted)[0] >= f"outbox_p{last}")  # noqa: B023
        eventually(lambda: relay.registry.get_sample_value("txbox_relay_pruned_total") == 120)
        assert relay.registry.get_sample_value("txbox_relay_epoch") == 1
    assert topics.ids(topic) == [str(id_) for id_ in ids]


def test_a_leader_leaves_the_size_of_partitions_to_who_began_to_make_them(
    conn: Connection, database: Database, kafka: Kafka, publish: Publish, topic: str
):
    class Gone(Exception):
        """Of who began."""

    def told(step: Step) -> None:
        if step is Step.CLOSE:
            raise Gone

    with pytest.raises(Gone):
        partition(conn, told=told)
    with running(Relay(database, kafka, RelayConfig(retention=0.001))):
        for _ in range(3):
            publish(Message("T", topic=topic))
            eventually(lambda: seqs(conn) == [])
    assert names(conn) == ["outbox_p0"]
    partition(conn, rows=10)
    assert layout(conn).rows == 10


@pytest.mark.parametrize(
    ("obstacle", "why"),
    [
        ("CREATE VIEW mine AS SELECT seq FROM txbox.outbox_p0", "cannot drop table"),
        ("DROP TABLE txbox.outbox_end", "no partition without an upper end"),
    ],
)
def test_what_keeps_partitions_from_going_is_told_and_tried_again_later_while_pruning_goes_on(
    parted: Connection, database: Database, caplog: pytest.LogCaptureFixture, obstacle: str, why: str
):
    fill(parted, 1)
    parted.execute(CURSOR, ("default", FIRST, "{}"))
    parted.execute(obstacle.encode())
    caplog.set_level("INFO", "txbox.relay.pruner")
    pruner = Pruner(database, "default", WEEK, lambda _: None)
    thread = Thread(target=pruner.run)
    thread.start()
    try:
        eventually(lambda: len(caplog.records) > 0)
        [told] = caplog.records
        assert (told.levelname, told.message) == ("WARNING", "partitions wait for their turn")
        assert why in vars(told)["why"]
        assert thread.is_alive()
    finally:
        pruner.stop()
        thread.join(5)


def test_commands_know_both_layouts(conn: Connection, database: Database):
    def run(*command: str) -> Any:
        done = CliRunner().invoke(
            txbox, ["-o", "json", *command, "--database-url", database.url], catch_exceptions=False
        )
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout), done.stderr

    fill(conn, 30)
    assert "one table" in run("db", "status")[1]
    steps, told = run("db", "partition")
    assert [step["step"] for step in steps] == ["wrap", "close", "jump"]
    assert "--apply" in told
    assert layout(conn).parts is None
    made, _ = run("db", "partition", "--apply", "--rows", "1000")
    assert len(made) == AHEAD + 2
    assert run("db", "partition", "--apply")[0] == made
    assert f"{AHEAD + 2} partitions of 1,000 seqs" in run("db", "status")[1]
    fill(conn, 5)
    conn.execute("ANALYZE")
    stats, _ = run("outbox", "stats")
    assert (stats["rows_estimated"], stats["partitions"], stats["first_seq"]) == (35, AHEAD + 2, 1)
    assert stats["bytes"] > AHEAD * 8192
    assert [row["seq"] for row in run("outbox", "list", "--limit", "6")[0]] == [*range(FIRST + 4, FIRST - 1, -1), 30]
    assert run("outbox", "show", "7")[0]["seq"] == 7
    conn.execute(CURSOR, ("default", FIRST + 4, "{}"))
    assert run("outbox", "prune", "--older-than", "7d")[0] == {"pruned": 30}


SCANS = {"Index Scan", "Index Only Scan", "Append", "Limit", "Nested Loop", "Function Scan"}


def test_a_poll_of_fifty_partitions_goes_by_their_keys_and_only_where_it_must(conn: Connection, database: Database):
    partition(conn, rows=1000)
    for _ in range(13):
        fill(conn, 3000)
        partition(conn)
    fill(conn, 500)
    conn.execute("ANALYZE")
    parts = layout(conn).parts or ()
    assert len(parts) >= 45
    with psycopg.connect(database.url, autocommit=True) as polling:
        for key, setting in SETTINGS.items():
            polling.execute(f"SET {key} = '{setting}'".encode())
        for mode in ("auto", "force_generic_plan", "force_custom_plan"):
            polling.execute(f"SET plan_cache_mode = {mode}".encode())
            tail = layout(conn).drawn - 1700
            parameters = {"tail": tail, "messages": 2000, "size": 10**9, "template": "{aggregate}"}
            gaps = {"singles": [FIRST + 5, FIRST + 20_000], "firsts": [FIRST + 7000], "lasts": [FIRST + 7009]}
            for name, given in (("above", parameters), ("above_and_gaps", parameters | gaps), ("late", gaps)):
                explain = b"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + Poll.statements("txbox")[name]
                [[plan]] = polling.execute(explain, given, prepare=True).fetchone() or ([],)
                scans = [node for node in nodes(plan["Plan"]) if "Relation Name" in node]
                assert {node["Node Type"] for node in scans} <= {"Index Scan", "Index Only Scan"}, (mode, name)
                run = {node["Relation Name"] for node in scans if node["Actual Loops"]}
                assert len(run) <= AHEAD + 3 + 4, (mode, name, run)
                hit = plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]
                assert hit < 1000, (mode, name, hit)


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


def test_the_way_back_that_is_written_down_leads_to_the_plain_outbox(
    conn: Connection, publish: Publish, relay_once: RelayOnce, topics: Topics
):
    before = catalog(conn)
    topic = topics.make()
    ids = publish(*(Message("T", topic=topic) for _ in range(5)))
    relay_once()
    partition(conn, rows=10)
    ids += publish(*(Message("T", topic=topic) for _ in range(25)))
    page = (ROOT / "docs" / "partitions.md").read_text()
    conn.execute(page.partition("```sql\n")[2].partition("```")[0].encode())
    ids += publish(*(Message("T", topic=topic) for _ in range(5)))
    relay_once()
    assert topics.ids(topic) == [str(id_) for id_ in ids]
    assert catalog(conn) == before
    partition(conn, rows=10)
    assert len(seqs(conn)) == 35


@pytest.mark.parametrize("led", [False, True])
def test_a_relay_that_takes_the_lead_while_partitions_are_made_does_not_note_the_sequence_of_before(
    conn: Connection, database: Database, led: bool
):
    ledger = Ledger.open(database, "default", SETTINGS)
    if led:
        ledger.take("me", ledger.inspect())
    facts = ledger.inspect()
    partition(conn)
    with pytest.raises(Superseded):
        ledger.take("me", facts)
    ledger.take("me", ledger.inspect())
    ledger.inspect()
    ledger.close()
