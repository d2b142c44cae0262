"""What docs/frameworks.md shows: an order is placed, told of, and charged for once, in each framework's words."""

import asyncio
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import psycopg
import pytest
import sqlalchemy
from sqlalchemy.ext.asyncio import create_async_engine

from tests.integration.frameworks import django_database, sqlalchemy_url
from txbox.consumer import Runner
from txbox.daemon import Database, Kafka
from txbox.relay import Relay, RelayConfig

PAGE = (Path(__file__).parent.parent.parent / "docs/frameworks.md").read_text()


@pytest.fixture
def tables(conn: psycopg.Connection) -> None:
    conn.execute("CREATE TABLE orders (id text PRIMARY KEY, total int)")
    conn.execute("CREATE TABLE charges (order_id text PRIMARY KEY, amount int)")


def block(name: str, folder: Path, topic: str) -> ModuleType:
    """Import the page's block whose first line names the file; its topic, and its consumer, are the test's own."""
    (code,) = re.findall(rf"```python\n# {re.escape(name)}\n(.*?)```", PAGE, re.DOTALL)
    path = folder / name
    path.write_text(
        code.replace('"orders", key', f'"{topic}", key').replace(
            '"billing", topics=["orders"]', f'"{topic}", topics=["{topic}"]'
        )
    )
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
    (code,) = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    conn.execute(code.replace("'orders'", f"'{txbox_topic}'").encode())
    conn.execute("INSERT INTO orders VALUES ('2', 43)")
    handled(block("sqlalchemy_billing.py", tmp_path, txbox_topic), database, kafka)
    assert conn.execute("SELECT order_id, amount FROM charges ORDER BY 1").fetchall() == [("1", 42), ("2", 43)]
