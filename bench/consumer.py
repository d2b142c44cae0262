"""What a consumer costs and how fast it is."""

import statistics
import time
from itertools import count
from typing import Final

from bench.figures import Figure, alternate
from bench.stage import Stage

__all__ = ["batches", "failing", "hop", "sharing"]

_HANDLED: Final = 30_000
_ONE_BY_ONE: Final = 3_000
#: of a thousand keys
_BAD: Final = 10

_names = count()


def batches(on: Stage) -> list[Figure]:
    """A handler a message: many messages in a transaction against one in each, and against no inbox at all."""
    topic, cpu = _filled(on), list[float]()

    def run(messages: int, max_batch: int) -> float:
        result = on.work("consume", **_where(on, topic), messages=messages, max_batch=max_batch)
        if max_batch > 1:
            cpu.append(result["cpu_us"])
        return result["per_second"]

    def naive() -> float:
        return on.work("consume_naively", **_where(on, topic), messages=_HANDLED)["per_second"]

    ratio, batched, single = alternate(lambda: run(_HANDLED, 2000), lambda: run(_ONE_BY_ONE, 1))
    without, _, naively = alternate(lambda: run(_HANDLED, 2000), naive)
    return [
        Figure(what="consumer, in batches / one message a transaction", value=ratio, unit="x", goal=">= 4"),
        Figure(
            what="consumer, in batches",
            value=statistics.median(batched),
            unit="messages/s",
            goal=">= 6000",
            detail={"one message a transaction, a second": statistics.median(single)},
        ),
        Figure(
            what="consumer / the same effects without an inbox",
            value=without,
            unit="x",
            detail={"without an inbox, messages a second": statistics.median(naively)},
        ),
        Figure(what="consumer, CPU a message", value=statistics.median(cpu), unit="us"),
    ]


def failing(on: Stage) -> list[Figure]:
    """What a key in a hundred that always fails costs the others."""
    topic = _filled(on)
    good = _HANDLED * (1000 - _BAD) // 1000

    def run(bad_keys: int) -> float:
        return on.work("consume", **_where(on, topic), messages=good, bad_keys=bad_keys)["per_second"]

    ratio, *_ = alternate(lambda: run(_BAD), lambda: run(0), times=5)
    return [Figure(what="consumer, 1 % of keys always failing / none", value=ratio, unit="x", goal=">= 0.9")]


def sharing(on: Stage) -> list[Figure]:
    """Two processes that change the same thousand rows, against one: what deadlocks cost."""
    topic = _filled(on)
    on.conn.execute("CREATE TABLE stock (n int PRIMARY KEY, sold int NOT NULL DEFAULT 0)")
    on.conn.execute("INSERT INTO stock (n) SELECT generate_series(0, 999)")

    def run(processes: int) -> float:
        on.conn.execute("TRUNCATE effects")
        where = _where(on, topic)
        with on.working("sell", times=processes, **where):
            while on.scalar("SELECT count(*) FROM effects") < _HANDLED:
                time.sleep(0.1)
        return float(on.scalar("SELECT count(*) / extract(epoch FROM max(at) - min(at)) FROM effects"))

    ratio, two, one = alternate(lambda: run(2), lambda: run(1))
    return [
        Figure(
            what="two consumers on the same 1,000 rows / one",
            value=ratio,
            unit="x",
            goal=">= 0.8",
            detail={"two, messages a second": statistics.median(two), "one": statistics.median(one)},
        )
    ]


def hop(on: Stage) -> list[Figure]:
    """From a message's being produced to its effect, one at a time."""
    topic = _filled(on, messages=1)
    result = on.work("hop", **_where(on, topic), messages=200)
    return [
        Figure(what="consumer, produced to handled when idle, p50", value=result["p50_ms"], unit="ms", goal="<= 15"),
        Figure(what="consumer, produced to handled when idle, p99", value=result["p99_ms"], unit="ms"),
    ]


def _filled(on: Stage, messages: int = _HANDLED) -> str:
    """Return a topic with so many messages, of a thousand keys."""
    topic = on.topic()
    on.conn.execute(
        "CREATE TABLE IF NOT EXISTS effects "
        "(n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, message_id uuid NOT NULL, "
        "at timestamptz NOT NULL DEFAULT clock_timestamp())"
    )
    on.fill(topic, messages)
    on.work("relay", **on.where, name=f"fill-{next(_names)}", messages=messages)
    return topic


def _where(on: Stage, topic: str) -> dict[str, str]:
    return {**on.where, "topic": topic, "name": f"bench-{next(_names)}"}
