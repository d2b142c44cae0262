"""What can be wrong with a consumer.

ConsumerError
├── AsyncHandler        a handler is `async def`, or a generator
├── DuplicateHandler    two handlers for one type
├── TransactionControl  a handler tried to end the transaction, and was refused
└── TransactionLeft     a handler ended the transaction all the same: the process stops
"""

from collections.abc import Sequence

__all__ = ["AsyncHandler", "ConsumerError", "DuplicateHandler", "TransactionControl", "TransactionLeft"]


class ConsumerError(Exception):
    """A consumer was defined or used in a way that could not keep its promise."""


class AsyncHandler(ConsumerError):
    """Handlers run on one connection, one after the other; a coroutine or a generator would never be run."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"handler {name} is async or a generator, it would never be run: write it as a plain "
            "`def handler(conn, message)` that returns"
        )


class DuplicateHandler(ConsumerError):
    """A type has one handler; with two nobody could say whether a message had its effect."""

    def __init__(self, consumer: str, type_: str | None) -> None:
        what = "every other type" if type_ is None else f"type {type_!r}"
        super().__init__(f"consumer {consumer!r} has two handlers for {what}: call one from the other")


class TransactionControl(ConsumerError):
    """A handler tried to end, or leave, the transaction that its message's id is committed in."""

    def __init__(self, statement: str) -> None:
        super().__init__(
            f"{statement} is refused in a handler: its changes are committed together with the message's id, after it "
            "returned. For a part that may fail use: with conn.transaction(): ..."
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
