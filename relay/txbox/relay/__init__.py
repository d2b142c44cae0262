"""Publish the committed rows of an outbox to Kafka: in order a key, once acked never forgotten."""

from txbox.relay.batch import Batch, Room, Row, Source
from txbox.relay.config import RelayConfig
from txbox.relay.cursor import Cursor, Gap
from txbox.relay.errors import (
    AccessDenied,
    AnotherLeader,
    CursorAhead,
    HiddenRows,
    InRecovery,
    OldTimeline,
    PublisherLost,
    RelayError,
    RelayWaits,
    SharedSession,
    Superseded,
    TopicMissing,
    Undeliverable,
    UnfitSequence,
    UnfitWait,
    WrongCluster,
)
from txbox.relay.relay import Relay

__all__ = [
    "AccessDenied",
    "AnotherLeader",
    "Batch",
    "Cursor",
    "CursorAhead",
    "Gap",
    "HiddenRows",
    "InRecovery",
    "OldTimeline",
    "PublisherLost",
    "Relay",
    "RelayConfig",
    "RelayError",
    "RelayWaits",
    "Room",
    "Row",
    "SharedSession",
    "Source",
    "Superseded",
    "TopicMissing",
    "Undeliverable",
    "UnfitSequence",
    "UnfitWait",
    "WrongCluster",
]
