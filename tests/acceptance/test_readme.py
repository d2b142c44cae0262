"""The README's code runs: what it shows is what happens."""

from pathlib import Path
from types import ModuleType
from uuid import uuid4

import psycopg
import pytest

from tests.acceptance.session import imported
from tests.pages import ROOT, named
from txbox.consumer import Runner
from txbox.daemon import Database, Kafka
from txbox.relay import Relay, RelayConfig


def block(name: str, folder: Path) -> ModuleType:
    """Import the README's code block whose first line names the file `name`."""
    return imported(folder / name, named(ROOT / "README.md", name))


def test_the_example_charges_once_for_an_order(
    database: Database, kafka: Kafka, conn: psycopg.Connection, tmp_path: Path
):
    conn.execute("CREATE TABLE orders (id text PRIMARY KEY, total int)")
    conn.execute("CREATE TABLE charges (order_id text, amount int)")
    shop, billing = block("shop.py", tmp_path), block("billing.py", tmp_path)
    order = str(uuid4())
    shop.place_order(database.url, order, 42)
    Relay(database, kafka, RelayConfig(create_topics=True)).run(once=True)
    for _ in range(2):
        Runner(billing.consumer, database, kafka).run(once=True)
    assert conn.execute("SELECT order_id, amount FROM charges").fetchall() == [(order, 42)]


def test_an_order_that_fails_is_never_told_of(database: Database, conn: psycopg.Connection, tmp_path: Path):
    conn.execute("CREATE TABLE orders (id text PRIMARY KEY, total int CHECK (total > 0))")
    shop = block("shop.py", tmp_path)
    with pytest.raises(psycopg.errors.CheckViolation):
        shop.place_order(database.url, "1", -1)
    assert conn.execute("SELECT count(*) FROM txbox.outbox").fetchall() == [(0,)]
