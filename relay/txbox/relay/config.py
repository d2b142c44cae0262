"""What can be set about a relay."""

from dataclasses import dataclass
from typing import Final, Literal

from txbox.relay.errors import UnfitWait

__all__ = ["RelayConfig"]


#: Seconds. A shorter wait would only keep a core busy. In a longer one the leader is silent: after 20 s of that its
#: session ends, after 60 s /livez fails.
_SHORTEST: Final = 0.001
_LONGEST: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayConfig:
    """Defaults are those of the command line. Durations are seconds, sizes bytes. Raises UnfitWait."""

    #: whose cursor; relays of one name take turns, relays of two names each publish everything
    name: str = "default"
    #: rows a statement; 2000 fit into a core's cache, 5000 cost a quarter more CPU a message
    batch: int = 2000
    #: wait after a poll that found rows, and the longest one after polls that found none: from 1 ms to 10 s
    poll_min: float = 0.001
    poll_max: float = 0.050
    #: how far to publish ahead of Kafka's acks. Beside its own bytes a message takes about a thousand more: with these
    #: bounds a relay whose Kafka stands still stays below 300 MB of memory, whatever the size of its messages
    in_flight: int = 100_000
    in_flight_size: int = 100_000_000
    #: how often to save the cursor, at most; what is not saved is published again after a crash
    save_every: float = 0.100
    #: how long to wait for acks when asked to stop
    drain_timeout: float = 30.0
    #: what to do about a row that Kafka refuses: stop before it, or put it and what follows in its key aside
    on_undeliverable: Literal["block", "hold"] = "block"
    #: age at which rows that every relay has published are deleted from the outbox; 0 keeps them
    retention: float = 7 * 86_400.0
    #: the topic of rows that name none
    topic: str = "outbox.event.{aggregate}"
    #: whether to make a missing topic, and how
    create_topics: bool = False
    partitions: int = 6
    #: -1: the broker's default
    replication: int = -1

    def __post_init__(self) -> None:
        if not _SHORTEST <= self.poll_min <= self.poll_max <= _LONGEST:
            raise UnfitWait(self.poll_min, self.poll_max, _SHORTEST, _LONGEST)
