"""A term whose Kafka never acks anything."""

from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from tests.unit.relay.rows import batch_of
from txbox.daemon import Health, Stop
from txbox.relay.batch import Batch, Room
from txbox.relay.config import RelayConfig
from txbox.relay.cursor import Cursor
from txbox.relay.errors import PublisherLost
from txbox.relay.loop import Loop
from txbox.relay.metrics import RelayMetrics
from txbox.relay.publisher import Progress


class Silent:
    """Source, publisher, ledger and table of held rows at once: rows are read and sent, and no ack ever comes."""

    in_flight, waited, count = 3, 0.0, 0

    def __init__(self) -> None:
        self.looked: list[int] = []

    def room(self) -> Room:
        return Room(9, 999)

    def read(self, _room: Room) -> Batch:
        return batch_of(3)

    def progress(self) -> Progress:
        return Progress([], None)

    def outlook(self, tail: int) -> tuple[int, None]:
        self.looked.append(tail)
        return 0, None

    def wished(self) -> bool:
        return False

    def nothing(self, *_: object) -> None:
        return None

    send = serve = inspect = nothing


def test_what_was_sent_and_never_acked_still_waits():
    silent: Any = Silent()
    loop = Loop(
        silent,
        silent,
        silent,
        silent,
        cursor=Cursor(tail=1),
        config=RelayConfig(drain_timeout=0),
        health=Health("publishing", role="leader"),
        metrics=RelayMetrics(CollectorRegistry()),
    )
    with pytest.raises(PublisherLost, match="3 messages were not acked"):
        loop.run(Stop(), once=True)
    assert silent.looked == [1]
