"""The state file is read back as it was written, and nothing else is taken for one."""

from __future__ import annotations

from pathlib import Path

import pytest

from txbox.sandbox import Servers


def test_state_survives_the_file():
    servers = Servers(
        database_url="postgresql://postgres@127.0.0.1:5/postgres",
        bootstrap_servers="127.0.0.1:6,127.0.0.1:7",
        postgres_version="18.6",
        kafka_version="4.3.1",
        pids={"postgres": 11, "kafka-0": 12},
        dir=Path("/somewhere"),
    )
    assert Servers.from_json(servers.to_json()) == servers


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", '{"dir": "/x"}', '{"dir": 3}'])
def test_other_text_is_no_state(text: str):
    with pytest.raises(ValueError):  # noqa: PT011  # json's own errors are ValueErrors
        Servers.from_json(text)
