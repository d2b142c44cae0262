"""What a consumer costs and how fast it is."""

import statistics
from itertools import count
from typing import Final

from bench.figures import Figure, alternate
from bench.stage import Stage

__all__ = ["batches"]

_HANDLED: Final = 30_000
_ONE_BY_ONE: Final = 3_000


def batches(on: Stage) -> list[Figure]:
    """A handler a message: many messages in a transaction against one in each."""
    topic, names = on.topic(), count()
    on.conn.execute(
        "CREATE TABLE effects (n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, message_id uuid NOT NULL)"
    )
    on.fill(topic, _HANDLED)
    on.work("relay", **on.where, name="bench-consume", messages=_HANDLED)
    cpu: list[float] = []

    def run(messages: int, max_batch: int) -> float:
        result = on.work(
            "consume", **on.where, topic=topic, name=f"bench-{next(names)}", messages=messages, max_batch=max_batch
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
