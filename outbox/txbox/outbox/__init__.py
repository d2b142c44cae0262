"""Write messages in your own transaction: all that a publishing service needs. Imports no Kafka client."""

from txbox.outbox.context import bind
from txbox.outbox.errors import (
    InvalidHeader,
    InvalidKey,
    InvalidTopic,
    NoRoute,
    NotInTransaction,
    OutboxError,
    PayloadNotSerializable,
    PayloadTooLarge,
    TransactionFailed,
    UnknownConnection,
)
from txbox.outbox.message import Message
from txbox.outbox.outbox import Outbox

__all__ = [
    "InvalidHeader",
    "InvalidKey",
    "InvalidTopic",
    "Message",
    "NoRoute",
    "NotInTransaction",
    "Outbox",
    "OutboxError",
    "PayloadNotSerializable",
    "PayloadTooLarge",
    "TransactionFailed",
    "UnknownConnection",
    "bind",
]
