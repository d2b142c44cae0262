"""Every test has a database of its own, made from one template."""

from __future__ import annotations

import psycopg
import pytest

from txbox.sandbox import Servers


@pytest.mark.parametrize("_time", ["first", "second"])
def test_each_test_finds_a_fresh_database(txbox_database: str, _time: str):
    with psycopg.connect(txbox_database) as connection:
        connection.execute("CREATE TABLE only_here (id int)")


def test_a_database_goes_with_its_test(txbox_servers: Servers, txbox_template: str):
    with psycopg.connect(txbox_servers.database_url) as connection:
        left = connection.execute("SELECT datname FROM pg_database WHERE datname LIKE 'txbox_test_%'").fetchall()
    assert left == [(txbox_template,)]


def test_topic_names_differ_and_say_whose_they_are(txbox_topic: str):
    assert txbox_topic.startswith("test-topic-names-differ")
