"""The measurements. Each returns the figures that it adds to the report."""

import re
import statistics
import subprocess
import tempfile
from itertools import count
from typing import Final
from urllib.parse import urlsplit

from bench.figures import Figure, alternate
from bench.stage import SIZE, Stage
from txbox.daemon import Database
from txbox.relay import pruner

__all__ = ["batches", "drain", "pruning", "writers"]

_ROWS: Final = 300_000
_HANDLED: Final = 30_000
_ONE_BY_ONE: Final = 3_000
_PGBENCH_SECONDS: Final = 8
#: more than is pruned in that time
_PRUNED: Final = 600_000


def drain(on: Stage) -> list[Figure]:
    """The relay's drain of a backlog against a bare producer, and what the drain leaves behind in PostgreSQL."""
    topic, names = on.topic(), count()
    cpu: list[tuple[float, float]] = []
    wal: list[float] = []
    on.fill(topic, _ROWS)
    where = {"database_url": on.servers.database_url, "bootstrap_servers": on.servers.bootstrap_servers}

    def relay() -> float:
        before = on.scalar("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
        result = on.work("relay", **where, name=f"bench-{next(names)}", messages=_ROWS)
        wal.append(float(on.scalar("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn") - before) / _ROWS)
        cpu.append((result["cpu_us"], 0))
        return result["per_second"]

    def raw() -> float:
        servers = on.servers.bootstrap_servers
        result = on.work("raw_producer", bootstrap_servers=servers, topic=topic, messages=_ROWS, size=SIZE)
        cpu[-1] = (cpu[-1][0], result["cpu_us"])
        return result["per_second"]

    ratio, relayed, produced = alternate(relay, raw)
    on.conn.execute("SELECT pg_stat_force_next_flush()")
    dead = on.scalar("SELECT n_dead_tup FROM pg_stat_user_tables WHERE relid = 'txbox.outbox'::regclass")
    return [
        Figure(
            what="relay drain / raw producer",
            value=ratio,
            unit="x",
            goal=">= 0.5",
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


# pgbench's own TPC-B transaction, a common stand-in for a business transaction; and the smallest that there is.
_TPC_B: Final = """
\\set aid random(1, 100000 * :scale)
\\set bid random(1, 1 * :scale)
\\set tid random(1, 10 * :scale)
\\set delta random(-5000, 5000)
BEGIN;
UPDATE pgbench_accounts SET abalance = abalance + :delta WHERE aid = :aid;
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
UPDATE pgbench_tellers SET tbalance = tbalance + :delta WHERE tid = :tid;
UPDATE pgbench_branches SET bbalance = bbalance + :delta WHERE bid = :bid;
INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (:tid, :bid, :aid, :delta, CURRENT_TIMESTAMP);
{outbox}END;
"""
_ONE_ROW: Final = """
BEGIN;
INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (1, 1, 1, 42, CURRENT_TIMESTAMP);
{outbox}END;
"""
_OUTBOX: Final = (
    "INSERT INTO txbox.outbox (id, aggregateid, type, payload, topic) "  # noqa: S608  # our own text
    f"VALUES (gen_random_uuid(), '42', 'OrderPlaced', '{'x' * SIZE}', 'orders');\n"
)


def writers(on: Stage) -> list[Figure]:
    """A transaction with an outbox row in it against the same without."""
    _run_pgbench(on, "-i", "-s", "50", "-q")
    figures = []
    for name, script, goal in (("TPC-B", _TPC_B, ">= 0.85"), ("one-row", _ONE_ROW, "")):
        ratio, with_outbox, without = alternate(
            lambda script=script: _pgbench(on, script.format(outbox=_OUTBOX)),  # type: ignore[misc]
            lambda script=script: _pgbench(on, script.format(outbox="")),  # type: ignore[misc]
        )
        figures.append(
            Figure(
                what=f"{name} transactions with / without an outbox row",
                value=ratio,
                unit="x",
                goal=goal,
                detail={
                    "with, a second": statistics.median(with_outbox),
                    "without, a second": statistics.median(without),
                },
            )
        )
    return figures


def pruning(on: Stage) -> list[Figure]:
    """Writers while rows are pruned against the same without."""
    _run_pgbench(on, "-i", "-s", "50", "-q")
    on.fill("orders", _PRUNED)
    on.conn.execute("DELETE FROM txbox.relay_cursor")
    on.conn.execute("INSERT INTO txbox.relay_cursor (name, tail) SELECT 'bench', max(seq) FROM txbox.outbox")
    script, deleted = _TPC_B.format(outbox=_OUTBOX), list[int]()

    def beside() -> float:
        # In this process, which only waits for pgbench: to start another one would take from the writers.
        with pruner.pruning(Database(url=on.servers.database_url), "bench", 0.001, deleted.append):
            return _pgbench(on, script)

    ratio, with_pruning, without = alternate(beside, lambda: _pgbench(on, script), times=5)
    return [
        Figure(
            what="writers while rows are pruned / without",
            value=ratio,
            unit="x",
            goal=">= 0.97",
            detail={
                "with, a second": statistics.median(with_pruning),
                "without, a second": statistics.median(without),
            },
        ),
        Figure(
            what="rows pruned beside writers",
            value=sum(deleted) / (5 * _PGBENCH_SECONDS),
            unit="rows/s",
            goal=">= 2000",
        ),
    ]


def _pgbench(on: Stage, script: str) -> float:
    """Return transactions a second of 16 clients."""
    on.conn.execute("CHECKPOINT")
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        options = ("-n", "-s", "50", "-M", "prepared", "-c", "16", "-j", "2", "-T", str(_PGBENCH_SECONDS))
        told = _run_pgbench(on, *options, "-f", file.name)
    found = re.search(r"tps = ([\d.]+)", told)
    assert found, told
    return float(found[1])


def _run_pgbench(on: Stage, *options: str) -> str:
    """Run pgbench on the stage's database; return what it printed."""
    url = urlsplit(on.servers.database_url)
    where = ("-h", str(url.hostname), "-p", str(url.port), "-U", str(url.username), url.path.removeprefix("/"))
    command = [str(on.sandbox.postgres.program("pgbench")), *options, *where]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout


def batches(on: Stage) -> list[Figure]:
    """A handler a message: many messages in a transaction against one in each."""
    topic, names = on.topic(), count()
    on.conn.execute(
        "CREATE TABLE effects (n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, message_id uuid NOT NULL)"
    )
    on.fill(topic, _HANDLED)
    where = {"database_url": on.servers.database_url, "bootstrap_servers": on.servers.bootstrap_servers}
    on.work("relay", **where, name="bench-consume", messages=_HANDLED)
    cpu: list[float] = []

    def run(messages: int, max_batch: int) -> float:
        result = on.work(
            "consume", **where, topic=topic, name=f"bench-{next(names)}", messages=messages, max_batch=max_batch
        )
        if max_batch > 1:
            cpu.append(result["cpu_us"])
        return result["per_second"]

    ratio, batched, single = alternate(lambda: run(_HANDLED, 2000), lambda: run(_ONE_BY_ONE, 1))
    return [
        Figure(what="consumer, in batches / one message a transaction", value=ratio, unit="x", goal=">= 4"),
        Figure(
            what="consumer, in batches",
            value=statistics.median(batched),
            unit="messages/s",
            goal=">= 6000",
            detail={"one message a transaction, a second": statistics.median(single)},
        ),
        Figure(what="consumer, CPU a message", value=statistics.median(cpu), unit="us"),
    ]
