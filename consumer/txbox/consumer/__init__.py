"""Hand each message to a handler so that its effect in the database happens once."""

from txbox.consumer.config import ConsumerConfig
from txbox.consumer.consumer import Consumer
from txbox.consumer.errors import (
    AsyncHandler,
    BlockLeft,
    ConsumerError,
    DuplicateHandler,
    HeldFull,
    Outage,
    Reject,
    StatementLeft,
    TransactionControl,
    TransactionLeft,
)
from txbox.consumer.policy import Retry
from txbox.consumer.received import Received
from txbox.consumer.runner import Runner
from txbox.consumer.transactions import Transactions

__all__ = [
    "AsyncHandler",
    "BlockLeft",
    "Consumer",
    "ConsumerConfig",
    "ConsumerError",
    "DuplicateHandler",
    "HeldFull",
    "Outage",
    "Received",
    "Reject",
    "Retry",
    "Runner",
    "StatementLeft",
    "TransactionControl",
    "TransactionLeft",
    "Transactions",
]
