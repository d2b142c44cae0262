"""What can be set about a consumer's process."""

from dataclasses import dataclass

__all__ = ["ConsumerConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerConfig:
    """Defaults are those of the command line. Durations are seconds."""

    #: messages in one transaction, at most
    max_batch: int = 2000
    #: how long a transaction should last: as many messages are put into one as handlers can do in this time
    transaction: float = 0.100
    #: how long one handler may take; a session that is silent for longer inside a transaction is ended by PostgreSQL
    handler_timeout: float = 30.0
    #: runs of a message's handler before the message is dead, the first one among them
    attempts: int = 16
    #: wait before a message that failed is tried again, and the longest one
    backoff_first: float = 0.050
    backoff_cap: float = 60.0
    #: held messages of one key, and in all; when as many are held, partitions are paused until there are fewer
    max_held_key: int = 10_000
    max_held: int = 1_000_000
    #: where copies of dead messages go, through the outbox of the consumer's own database: {topic}.{consumer}.dlt
    dead_letter_topic: str | None = None
    #: how long the batch under way may take once a stop was asked for; then `txbox consume` interrupts its handler
    drain_timeout: float = 30.0
    #: how long Kafka waits for a sign of life before it gives the partitions to others
    session_timeout: float = 10.0
    #: a name that stays over restarts, so that a restart needs no rebalance
    instance_id: str | None = None
