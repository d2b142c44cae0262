"""What docs/frameworks.md shows: an order is placed, told of, and charged for once, in each framework's words."""

import asyncio
from pathlib import Path
from types import ModuleType

import psycopg
import pytest
import sqlalchemy
from sqlalchemy.ext.asyncio import create_async_engine

from tests.acceptance.session import imported
from tests.integration.frameworks import django_database, sqlalchemy_url
from tests.pages import ROOT, blocks, named
from txbox.consumer import Runner
from txbox.daemon import Database, Kafka
from txbox.relay import Relay, RelayConfig

PAGE = ROOT / "docs/frameworks.md"


@pytest.fixture
def tables(conn: psycopg.Connection) -> None:
    conn.execute("CREATE TABLE orders (id text PRIMARY KEY, total int)")
    conn.execute("CREATE TABLE charges (order_id text PRIMARY KEY, amount int)")


def block(name: str, folder: Path, topic: str) -> ModuleType:
    """Import the page's block whose first line names the file; its topic, and its consumer, are the test's own."""
    code = named(PAGE, name).replace('"orders", key', f'"{topic}", key')
    return imported(folder / name, code.replace('"billing", topics=["orders"]', f'"{topic}", topics=["{topic}"]'))


def handled(billing: ModuleType, database: Database, kafka: Kafka) -> None:
    Relay(database, kafka, RelayConfig(create_topics=True)).run(once=True)
    for _ in range(2):
        Runner(billing.consumer, database, kafka).run(once=True)


@pytest.mark.usefixtures("tables")
def test_sqlalchemys(database: Database, kafka: Kafka, conn: psycopg.Connection, txbox_topic: str, tmp_path: Path):
    engine = sqlalchemy.create_engine(sqlalchemy_url(database.url, "psycopg"))
    block("sqlalchemy_shop.py", tmp_path, txbox_topic).place_order(engine, "1", 42)
    engine.dispose()

    async def place() -> None:
        engine = create_async_engine(sqlalchemy_url(database.url, "asyncpg"))
        await block("async_shop.py", tmp_path, txbox_topic).place_order(engine, "2", 43)
        await engine.dispose()

    asyncio.run(place())
    handled(block("sqlalchemy_billing.py", tmp_path, txbox_topic), database, kafka)
    assert conn.execute("SELECT order_id, amount FROM charges ORDER BY 1").fetchall() == [("1", 42), ("2", 43)]


@pytest.mark.usefixtures("tables")
def test_djangos(database: Database, kafka: Kafka, conn: psycopg.Connection, txbox_topic: str, tmp_path: Path):
    with django_database(database.url):
        block("django_shop.py", tmp_path, txbox_topic).place_order("1", 42)
        handled(block("django_billing.py", tmp_path, txbox_topic), database, kafka)
    assert conn.execute("SELECT order_id, amount FROM charges").fetchall() == [("1", 42)]


@pytest.mark.usefixtures("tables")
def test_a_triggers(database: Database, kafka: Kafka, conn: psycopg.Connection, txbox_topic: str, tmp_path: Path):
    (code,) = (block.text for block in blocks(PAGE) if block.language == "sql")
    conn.execute(code.replace("'orders'", f"'{txbox_topic}'").encode())
    conn.execute("INSERT INTO orders VALUES ('2', 43)")
    handled(block("sqlalchemy_billing.py", tmp_path, txbox_topic), database, kafka)
    assert conn.execute("SELECT order_id, amount FROM charges ORDER BY 1").fetchall() == [("1", 42), ("2", 43)]
