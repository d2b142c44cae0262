"""Three weeks at a thousand messages a second, at a thousandth of it: how large the outbox is, how much of it dead."""

import json
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.integration.relay.weeks import WEEK_OF_HOURS, live_through
from txbox.daemon import Database, connect
from txbox.relay.prune import SETTINGS
from txbox.schema import layout, partition

ROWS = 3600  # an hour


@pytest.fixture
def pruner(database: Database) -> Iterator[psycopg.Connection[Any]]:
    with connect(psycopg.Connection[Any], database, "prune", {**SETTINGS, "statement_timeout": "0"}) as conn:
        yield conn


@pytest.mark.parametrize("partitioned", [False, True], ids=["plain", "partitioned"])
def test_an_outbox_is_as_large_after_weeks_as_after_the_first(
    conn: psycopg.Connection[Any], pruner: psycopg.Connection[Any], partitioned: bool
):
    if partitioned:
        partition(conn, rows=6 * ROWS)
    began = time.monotonic()
    stood = live_through(conn, pruner, hours=3 * WEEK_OF_HOURS, rows=ROWS)
    full, weeks = stood[WEEK_OF_HOURS].size, [stood[n * WEEK_OF_HOURS - 1] for n in (1, 2, 3)]
    told: dict[str, object] = {"partitions": len(layout(conn).parts or ()), "seconds": round(time.monotonic() - began)}
    told |= {"megabytes": [week.size >> 20 for week in weeks], "most": max(hour.size for hour in stood) >> 20}
    print(json.dumps({**told, "dead": [week.dead for week in weeks], "most_dead": max(hour.dead for hour in stood)}))
    assert max(hour.size for hour in stood) <= 1.5 * full
    assert max(hour.dead for hour in stood) <= (0 if partitioned else 50 + 0.3 * WEEK_OF_HOURS * ROWS)
