"""What the relay costs and how fast it is."""

import statistics
import threading
from itertools import count
from typing import Final

from bench.figures import Figure, alternate
from bench.stage import SIZE, Stage

__all__ = ["backlog", "drain", "idle", "latency", "open_transactions"]

_ROWS: Final = 300_000
_BACKLOG: Final = 5_000_000
_RATE: Final = 1_000
_SECONDS: Final = 20
_INSERT: Final = (
    "INSERT INTO txbox.outbox (id, aggregateid, type, payload, topic) "  # our own text
    "VALUES (gen_random_uuid(), '42', 'OrderPlaced', '{payload}', '{topic}');\n"
)


def drain(on: Stage) -> list[Figure]:
    """The relay's drain of a backlog against a bare producer, and what the drain leaves behind in PostgreSQL."""
    topic, names = on.topic(), count()
    cpu: list[tuple[float, float]] = []
    wal: list[float] = []
    on.fill(topic, _ROWS)

    def relay() -> float:
        before = on.scalar("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
        result = on.work("relay", **on.where, name=f"bench-{next(names)}", messages=_ROWS)
        wal.append(float(on.scalar("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn") - before) / _ROWS)
        cpu.append((result["cpu_us"], 0))
        return result["per_second"]

    def raw() -> float:
        servers = on.servers.bootstrap_servers
        result = on.work("raw_producer", bootstrap_servers=servers, topic=topic, messages=_ROWS, size=SIZE)
        cpu[-1] = (cpu[-1][0], result["cpu_us"])
        return result["per_second"]

    ratio, relayed, produced = alternate(relay, raw, times=5)
    on.conn.execute("SELECT pg_stat_force_next_flush()")
    dead = on.scalar("SELECT n_dead_tup FROM pg_stat_user_tables WHERE relid = 'txbox.outbox'::regclass")
    return [
        Figure(
            what="relay drain / raw producer",
            value=ratio,
            unit="x",
            goal=">= 0.6",
            detail={
                "relay, messages a second": statistics.median(relayed),
                "raw producer, messages a second": statistics.median(produced),
            },
        ),
        Figure(what="relay, CPU a message", value=statistics.median(c[0] for c in cpu), unit="us"),
        Figure(what="raw producer, CPU a message", value=statistics.median(c[1] for c in cpu), unit="us"),
        Figure(what="dead tuples in the outbox after the drains", value=float(dead), unit="rows", goal="<= 0"),
        Figure(what="relay WAL a message", value=statistics.median(wal), unit="bytes", goal="<= 1"),
    ]


def open_transactions(on: Stage) -> list[Figure]:
    """A drain while somebody holds a snapshot, or has written a row and commits it not, against the same without."""
    topic, names = on.topic(), count()
    on.fill(topic, _ROWS)

    def relay() -> float:
        return on.work("relay", **on.where, name=f"beside-{next(names)}", messages=_ROWS)["per_second"]

    def beside(*statements: str) -> float:
        with on.transaction(*statements):
            return relay()

    add = f"INSERT INTO txbox.outbox (type, topic) VALUES ('Idle', '{topic}')"  # noqa: S608  # our own text
    snapshot, *_ = alternate(lambda: beside("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SELECT 1"), relay)
    # The seqs below the first row (the table was truncated before) might be the idle writer's: a gap to the end.
    writer, *_ = alternate(lambda: beside(add), relay)
    on.conn.execute("DELETE FROM txbox.outbox WHERE seq % 5 = 0")
    on.conn.execute("VACUUM ANALYZE txbox.outbox")
    hostile, *_ = alternate(lambda: beside(add), relay)
    return [
        Figure(what="drain beside a held snapshot / without", value=snapshot, unit="x", goal=">= 0.95"),
        Figure(what="drain beside an idle writer / without", value=writer, unit="x", goal=">= 0.9"),
        Figure(what="the same where every fifth seq was rolled back", value=hostile, unit="x"),
    ]


def latency(on: Stage) -> list[Figure]:
    """From a row's INSERT to the ack of its batch, of rows that come at a steady rate."""
    topic = on.topic()
    on.fill(topic, 1)
    on.work("relay", **on.where, name="latency", messages=1)
    writers = ("-n", "-M", "prepared", "-c", "8", "-R", _RATE, "-T", _SECONDS)
    load = threading.Thread(target=lambda: on.pgbench(*writers, script=_INSERT.format(payload="x" * SIZE, topic=topic)))
    load.start()
    result = on.work("latency", **on.where, name="latency", messages=_RATE * _SECONDS * 9 // 10)
    load.join()
    return [
        Figure(what="insert to ack at 1,000/s, p50", value=result["p50_ms"], unit="ms", goal="<= 12"),
        Figure(what="insert to ack at 1,000/s, p99", value=result["p99_ms"], unit="ms", goal="<= 30"),
        Figure(what="relay at 1,000/s, CPU a message", value=result["cpu_us"], unit="us"),
    ]


def backlog(on: Stage) -> list[Figure]:
    """What a relay takes of memory while it drains what has gathered for hours."""
    on.fill(on.topic(), _BACKLOG)
    result = on.work("relay", **on.where, name="backlog", messages=_BACKLOG)
    on.conn.execute("TRUNCATE txbox.outbox")
    return [
        Figure(
            what="relay's memory, 5,000,000 rows behind",
            value=result["max_rss_mb"],
            unit="MB",
            goal="<= 300",
            detail={"messages a second": result["per_second"]},
        )
    ]


def idle(on: Stage) -> list[Figure]:
    """What a relay costs that has nothing to do."""
    before = on.statements()
    result = on.work("idle", **on.where, name="idle", seconds=_SECONDS)
    return [
        Figure(what="idle relay, statements a second", value=(on.statements() - before) / _SECONDS, unit="/s"),
        Figure(what="idle relay, CPU", value=result["cpu_ms_per_second"], unit="ms/s"),
    ]
