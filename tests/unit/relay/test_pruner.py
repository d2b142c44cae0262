"""What the leader does when it may not make or drop partitions."""

from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from txbox.daemon import Database
from txbox.relay import pruner
from txbox.relay.pruner import Pruner
from txbox.schema import Layout, SchemaError

CONN: Any = SimpleNamespace(patience=1.0)
PARTS: Any = None


@pytest.mark.parametrize("error", [psycopg.errors.InsufficientPrivilege("must be owner"), SchemaError("no end")])
def test_partitions_that_may_not_be_made_are_left_alone_for_a_while(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither does the thread end, nor is each old partition read through again every second."""
    tries = 0

    def refuse(*_: object, **__: object) -> None:
        nonlocal tries
        tries += 1
        raise error

    monkeypatch.setattr(pruner, "layout", lambda *_: Layout(parts=(), drawn=0))
    monkeypatch.setattr(pruner, "partition", refuse)
    leader = Pruner(Database(url=""), "default", 1.0, lambda _: None)
    for _ in range(2):
        leader._turn(CONN, PARTS)
    assert tries == 1
