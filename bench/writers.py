"""What the outbox costs those who write."""

import re
import statistics
from typing import Final

from bench.figures import Figure, alternate
from bench.stage import SIZE, Stage
from txbox.daemon import Database
from txbox.relay import pruner

__all__ = ["pruning", "writers"]

_PGBENCH_SECONDS: Final = 8
#: more than is pruned in that time
_PRUNED: Final = 600_000


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
    on.pgbench("-i", "-s", "50", "-q")
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
    on.pgbench("-i", "-s", "50", "-q")
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
    told = on.pgbench("-n", "-s", "50", "-M", "prepared", "-c", "16", "-j", "2", "-T", _PGBENCH_SECONDS, script=script)
    found = re.search(r"tps = ([\d.]+)", told)
    assert found, told
    return float(found[1])
