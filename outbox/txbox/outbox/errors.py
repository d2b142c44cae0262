"""What can be wrong with writing a message.

OutboxError
├── NotInTransaction        the message would be committed alone
├── TransactionFailed       the transaction can only be rolled back
├── UnknownConnection       not a connection that the outbox can write through
├── PayloadTooLarge         Kafka would refuse the record
├── PayloadNotSerializable  no JSON can be made of the payload
├── InvalidHeader           a header, or the type, that Kafka's peers could not read
├── InvalidKey              a key that is no key
├── InvalidTopic            a name that Kafka does not allow
└── NoRoute                 neither topic nor aggregate
Each is raised before anything is written; the transaction stays as it was.
"""

__all__ = [
    "InvalidHeader",
    "InvalidKey",
    "InvalidTopic",
    "NoRoute",
    "NotInTransaction",
    "OutboxError",
    "PayloadNotSerializable",
    "PayloadTooLarge",
    "TransactionFailed",
    "UnknownConnection",
]


class OutboxError(Exception):
    """A message could not be written to the outbox."""


class NotInTransaction(OutboxError):
    """The connection is in autocommit and no transaction is open: the message would not share one with its cause."""

    def __init__(self, block: str = "with conn.transaction(): ...") -> None:
        super().__init__(
            "the connection is in autocommit mode and in no transaction, so the message would be committed apart from "
            f"the rows that it tells of. Put both in one block: {block}"
        )


class TransactionFailed(OutboxError):
    """An earlier statement failed: PostgreSQL will refuse everything until the rollback."""

    def __init__(self, block: str = "with conn.transaction(): ...") -> None:
        super().__init__(
            "the transaction has failed on an earlier statement and can only be rolled back. Let that error end the "
            f"block, or put a savepoint around the statement that may fail: {block}"
        )


class UnknownConnection(OutboxError):
    """The object is nothing through which the outbox can write, or not in this way."""

    def __init__(self, given: object, why: str | None = None) -> None:
        super().__init__(
            f"cannot write through {type(given).__module__}.{type(given).__qualname__}: "
            + (
                why
                or "give add a psycopg.Connection, an SQLAlchemy Session or Connection, or Django's connection; give "
                "aadd an async one of these, or of asyncpg"
            )
        )


class PayloadTooLarge(OutboxError):
    """The encoded payload is above `max_payload`, hence above what Kafka takes as one record by default."""

    def __init__(self, type_: str, size: int, limit: int) -> None:
        self.size, self.limit = size, limit
        super().__init__(
            f"the payload of a {type_!r} message is {size:,} bytes, the limit is {limit:,}. Send a reference to the "
            "data instead, or raise Outbox(max_payload=...) together with the topic's max.message.bytes"
        )


class PayloadNotSerializable(OutboxError):
    """No bytes can be made of the payload that a reader could turn back."""

    def __init__(self, type_: str, why: str) -> None:
        super().__init__(f"the payload of a {type_!r} message cannot be encoded: {why}")


class InvalidHeader(OutboxError):
    """A header's name or value, or a message's type (it travels as a header), is not allowed."""

    def __init__(self, name: object, why: str) -> None:
        self.name = name
        super().__init__(f"header {name!r}: {why}")


class InvalidKey(OutboxError):
    """A key must be a non-empty str, an int or a UUID, or None for a message without one."""

    def __init__(self, why: str) -> None:
        super().__init__(f"key: {why}")


class InvalidTopic(OutboxError):
    """Kafka allows letters, digits, '.', '_' and '-' in a topic's name, 249 at most."""

    def __init__(self, name: object) -> None:
        self.name = name
        super().__init__(
            f"{name!r} is no name for a topic: use 1 to 249 letters, digits, '.', '_' or '-', and not '.' or '..'"
        )


class NoRoute(OutboxError):
    """The message names neither a topic nor an aggregate, so the relay could not know where to publish it."""

    def __init__(self, type_: str) -> None:
        super().__init__(f"a {type_!r} message has no topic: give Message(..., topic='orders') or aggregate='order'")
