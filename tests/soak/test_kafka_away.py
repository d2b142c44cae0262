"""Kafka is away for minutes: the outbox grows, the relay does not."""

import re
import signal
import time
from pathlib import Path

import psycopg

from tests.integration.running import process
from tests.integration.topics import Topics
from tests.waiting import eventually
from txbox.daemon import Database, Kafka
from txbox.sandbox import Sandbox

ROWS, KEYS = 1_000_000, 100
_INSERT = """
INSERT INTO txbox.outbox (type, topic, aggregateid, payload)
SELECT 'N', %s, 'k' || n %% 100, convert_to(rpad(n::text, 300), 'UTF8')
FROM generate_series(%s, %s - 1) AS n
"""


def test_a_backlog_of_a_million_takes_no_memory_and_is_caught_up_with(
    sandbox: Sandbox, database: Database, kafka: Kafka, conn: psycopg.Connection, topics: Topics
):
    topic = topics.make(partitions=6)
    servers = ("--database-url", database.url, "--bootstrap-servers", kafka.bootstrap_servers)
    with process("txbox.cli", "relay", "run", *servers, "--http-port", "off") as relay:
        # A topic that it knows and a broker that is frozen: else it would not even begin, and have nothing in memory.
        conn.execute(_INSERT, (topic, 0, KEYS))
        eventually(lambda: topics.count(topic) == KEYS)
        broker = sandbox.kafka.brokers[0].process
        broker.signal(signal.SIGSTOP)
        try:
            conn.execute(_INSERT, (topic, KEYS, ROWS))
            back = time.monotonic() + 180
            eventually(lambda: time.monotonic() > back, within=200)
        finally:
            broker.signal(signal.SIGCONT)
        query = "SELECT 1 FROM txbox.relay_cursor WHERE tail >= %s AND isempty(gaps)"
        eventually(lambda: conn.execute(query, (ROWS,)).fetchone(), within=300)
        peak = most_memory(relay.popen.pid)
        assert relay.terminate() == 0
    print(f"VmHWM {peak / 1e6:.0f} MB")
    assert peak < 300_000_000
    by_key: dict[bytes | None, dict[int, None]] = {}
    for raw in topics.read(topic):
        by_key.setdefault(raw.key, {})[int(raw.value or b"")] = None
    assert {key: list(numbers) for key, numbers in by_key.items()} == {
        f"k{key}".encode(): list(range(key, ROWS, KEYS)) for key in range(KEYS)
    }


def most_memory(pid: int) -> int:
    """The most bytes that a process ever had in memory."""
    found = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) * 1024
