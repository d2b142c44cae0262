"""What can be wrong with a consumer.

ConsumerError
├── AsyncHandler        a handler is `async def`, or a generator
├── BeingTried          a held message whose row somebody has locked
├── BlockLeft           a handler returned inside a block of conn.transaction()
├── DuplicateHandler    two handlers for one type
├── HeldByMany          a held message of several consumers: which one's?
├── NotHeld             no such held message
├── HeldFull            as many messages are held as may be: said by `--once`, which waits for nothing
├── Outage              everybody's messages fail: said by `--once`, which waits for nothing
├── Reject              raised by a handler: this message is dead at once
├── StatementLeft       a handler returned in the middle of a statement
├── TransactionControl  a handler tried to end the transaction, and was refused
├── TransactionLeft     a handler ended the transaction all the same: the process stops
├── UnfitEdit           a held message would be none any more, or another one
└── UnfitTemplate       a name for dead letter topics that would not do
"""

from collections.abc import Sequence
from uuid import UUID

__all__ = [
    "AsyncHandler",
    "BeingTried",
    "BlockLeft",
    "ConsumerError",
    "DuplicateHandler",
    "HeldByMany",
    "HeldFull",
    "NotHeld",
    "Outage",
    "Reject",
    "StatementLeft",
    "TransactionControl",
    "TransactionLeft",
    "UnfitEdit",
    "UnfitTemplate",
]


class ConsumerError(Exception):
    """A consumer was defined or used in a way that could not keep its promise."""


class AsyncHandler(ConsumerError):
    """Handlers run on one connection, one after the other; a coroutine or a generator would never be run."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"handler {name} is async or a generator, it would never be run: write it as a plain "
            "`def handler(conn, message)` that returns"
        )


class BlockLeft(ConsumerError):
    """A handler did not leave a block of `conn.transaction()` or its like: nothing around it can be ended any more."""

    def __init__(self) -> None:
        super().__init__(
            "the handler returned inside a block of conn.transaction() or its like (begin_nested(), atomic()): "
            "leave it before, by `with ...:`"
        )


class DuplicateHandler(ConsumerError):
    """A type has one handler; with two nobody could say whether a message had its effect."""

    def __init__(self, consumer: str, type_: str | None) -> None:
        what = "every other type" if type_ is None else f"type {type_!r}"
        super().__init__(f"consumer {consumer!r} has two handlers for {what}: call one from the other")


class HeldFull(ConsumerError):
    """As many messages are held as may be, and one more would have to be."""

    def __init__(self, why: str) -> None:
        super().__init__(f"{why}: retry or discard some, txbox held list")


class Outage(ConsumerError):
    """Most messages fail, of several keys: whatever their handlers need is away."""

    def __init__(self, why: str) -> None:
        super().__init__(f"most messages fail, so none is to blame; what do their handlers need that is away? {why}")


class Reject(ConsumerError):
    """To be raised by a handler for a message that no other try will make good. `reason` is kept for people to read."""


class StatementLeft(ConsumerError):
    """A handler returned while a statement on its connection was still running: nothing else can be asked of it."""

    def __init__(self) -> None:
        super().__init__(
            "the handler returned in the middle of a statement: read a stream or COPY to its end, or close it"
        )


class TransactionControl(ConsumerError):
    """A handler tried to end, or leave, the transaction that its message's id is committed in."""

    def __init__(self, statement: str, block: str = "with conn.transaction(): ...") -> None:
        super().__init__(
            f"{statement} is refused in a handler: its changes are committed together with the message's id, after it "
            f"returned. For a part that may fail use: {block}"
        )


class TransactionLeft(ConsumerError):
    """The transaction ended while handlers ran: ids may be committed of messages that had no effect.

    The process stops, since going on would hide it. The message names the handlers that ran.
    """

    def __init__(self, ran: Sequence[str]) -> None:
        self.ran = tuple(dict.fromkeys(ran))
        super().__init__(
            "the transaction was ended from within a handler, past its guarded connection. One of these did it: "
            + ", ".join(self.ran)
        )


class NotHeld(ConsumerError):
    """The message had its effect, was discarded, or was never held."""

    def __init__(self, message: UUID, consumer: str | None) -> None:
        self.message = message
        who = "no consumer holds" if consumer is None else f"consumer {consumer!r} does not hold"
        super().__init__(f"{who} message {message}. What became of it: txbox inbox show {message}")


class HeldByMany(ConsumerError):
    """One message may be held by several consumers, each of which handles it for itself."""

    def __init__(self, message: UUID, consumers: Sequence[str]) -> None:
        self.message, self.consumers = message, tuple(consumers)
        super().__init__(f"message {message} is held by {', '.join(consumers)}: give --consumer")


class BeingTried(ConsumerError):
    """Somebody holds the message's row: a handler runs, or another person changes it."""

    def __init__(self, message: UUID, consumer: str) -> None:
        self.message = message
        super().__init__(f"message {message} of consumer {consumer!r} is being tried just now: try again")


class UnfitEdit(ConsumerError):
    """With this payload, or these headers, the message could not be handled. Nothing was changed."""

    def __init__(self, message: UUID, why: str) -> None:
        self.message, self.why = message, why
        super().__init__(f"message {message} cannot be edited so: {why}")


class UnfitTemplate(ConsumerError):
    """No topic for dead letters can be made of it, or one that the consumer itself reads."""

    def __init__(self, template: str, why: str) -> None:
        self.template = template
        super().__init__(f"{template!r} will not do for dead letters: {why}. Try {{topic}}.{{consumer}}.dlt")
