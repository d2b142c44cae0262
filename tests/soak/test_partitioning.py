"""Partitioning while writers draw their seqs themselves, before they insert: it has to wait for a lucky moment."""

from typing import Any

import psycopg

from tests.integration.relay.steady_writer import KINDS
from tests.integration.relay.test_partition_migration import partition_under
from tests.integration.topics import Topics
from txbox.daemon import Database, Kafka


def test_writers_that_draw_first_hold_partitioning_up_and_lose_nothing(
    conn: psycopg.Connection[Any], database: Database, kafka: Kafka, topics: Topics
):
    partition_under(conn, database, kafka, topics, count=0, kinds=KINDS)
