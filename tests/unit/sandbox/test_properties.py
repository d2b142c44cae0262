"""A node's settings: copies and quorums follow the number of brokers."""

from __future__ import annotations

from pathlib import Path

import pytest

from txbox.sandbox.broker import properties


def settings_of(brokers: int) -> dict[str, str]:
    voters = {number: f"127.0.0.1:{9100 + number}" for number in range(brokers)}
    text = properties(0, 9000, voters, Path("/data"))
    return dict(line.split("=", 1) for line in text.splitlines() if not line.startswith("#"))


@pytest.mark.parametrize(("brokers", "copies", "quorum"), [(1, "1", "1"), (3, "3", "2"), (5, "3", "2")])
def test_every_topic_outlives_a_broker_where_there_are_three(brokers: int, copies: str, quorum: str):
    settings = settings_of(brokers)
    assert {value for name, value in settings.items() if name.endswith("replication.factor")} == {copies}
    assert {value for name, value in settings.items() if name.endswith(("min.isr", "insync.replicas"))} == {quorum}


def test_nothing_listens_beyond_loopback():
    settings = settings_of(3)
    assert settings["listeners"] == "BROKER://127.0.0.1:9000,CONTROLLER://127.0.0.1:9100"
    assert settings["controller.quorum.voters"] == "0@127.0.0.1:9100,1@127.0.0.1:9101,2@127.0.0.1:9102"


def test_topics_are_made_by_those_who_mean_to():
    assert settings_of(1)["auto.create.topics.enable"] == "false"
