"""Which handler is for which messages, and what a batch of records asks for."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from txbox.consumer.errors import AsyncHandler, DuplicateHandler
from txbox.consumer.guard import GuardedConnection
from txbox.consumer.policy import Retry, Then
from txbox.consumer.received import Received, Record, Unreadable, read, type_of
from txbox.consumer.transactions import Transactions

__all__ = ["Consumer", "Handler", "Handling", "Run", "Skipped", "Step", "name_of", "plan", "together"]

#: the first argument is what the consumer's transactions give: a psycopg.Connection, unless it was told otherwise
Handler = Callable[[Any, Received], None]
H = TypeVar("H", bound=Handler)


@dataclass(frozen=True, slots=True, kw_only=True)
class Handling:
    """A handler, and what was said when it was registered."""

    handler: Handler
    alone: bool
    #: None: as the process was configured
    retry: Retry | None
    then: Then


class Consumer:
    """Handlers by message type, for one set of topics.

    `name` is the name of the inbox and of the Kafka group: each consumer handles each message once. Under a new name
    a consumer begins again with the first message. `retry` is how often a message is tried whose handler fails (None:
    as configured), `then` what a dead one does to those behind it in its key; both may be said of a handler too.
    `transactions` says what handlers get: a psycopg.Connection, or with txbox.consumer.sqlalchemy.Sessions a Session,
    with txbox.consumer.django.Atomic Django's connection.
    """

    def __init__(
        self,
        name: str,
        *,
        topics: Iterable[str],
        retry: Retry | None = None,
        then: Then = "hold",
        transactions: Callable[[GuardedConnection], Transactions] = Transactions,
    ) -> None:
        self.name = name
        self.transactions = transactions
        self.topics = tuple(topics)
        self._retry, self._then = retry, then
        self._handlers: dict[str | None, Handling] = {}

    def handler(
        self,
        type: str | None = None,  # noqa: A002  # the message's own word
        *,
        alone: bool = False,
        retry: Retry | None = None,
        then: Then | None = None,
    ) -> Callable[[H], H]:
        """Register the decorated function for messages of `type`; with None, for every type that has none of its own.

        It is called as `handler(conn, message)`, in the transaction in which the message's id is taken: what it does
        through `conn` happens once. It may run again for a message whose batch failed, with nothing left of the first
        run but what it did outside the database; `alone` gives each message a transaction of its own, so that it never
        runs again because of another. A message that fails is tried again later, and those behind it in its key wait.
        Raises AsyncHandler, DuplicateHandler.
        """

        def register(function: H) -> H:
            if _is_async(function):
                raise AsyncHandler(name_of(function))
            if type in self._handlers:
                raise DuplicateHandler(self.name, type)
            self._handlers[type] = Handling(
                handler=function, alone=alone, retry=retry or self._retry, then=then or self._then
            )
            return function

        return register

    @property
    def handlers(self) -> Mapping[str | None, Handling]:
        """The handlers by type; None is for every other type."""
        return self._handlers


def _is_async(handler: Handler) -> bool:
    """Return whether calling it runs nothing yet. Of an object that is no function, its class's __call__ tells."""
    later = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
    return any(is_later(what) for is_later in later for what in (handler, type(handler).__call__))


def name_of(handler: Handler) -> str:
    """Return how a handler is called in messages to people."""
    return f"{getattr(handler, '__module__', '?')}.{getattr(handler, '__qualname__', repr(handler))}"


@dataclass(frozen=True, slots=True)
class Run:
    """A message for a handler."""

    handling: Handling
    message: Received
    record: Record


@dataclass(frozen=True, slots=True)
class Skipped:
    """A record whose type has no handler: it is none of this consumer's business, and leaves no trace in the inbox."""

    record: Record


Step = Run | Unreadable | Skipped


def plan(handlers: Mapping[str | None, Handling], records: Iterable[Record]) -> tuple[Step, ...]:
    """Return what is to be done about each record of a batch, in its order. Pure."""
    return tuple(_step(handlers, record) for record in records)


def together(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Return as many of the first steps as one transaction may have: a message that is to be alone is alone in it."""
    for n, step in enumerate(steps):
        if isinstance(step, Run) and step.handling.alone:
            return steps[: max(n, 1)]
    return steps


def _step(handlers: Mapping[str | None, Handling], record: Record) -> Step:
    handling = _handling_for(handlers, record)
    if handling is None:
        return Skipped(record)
    match read(record):
        case Received() as message:
            return Run(handling, message, record)
        case Unreadable() as bad:
            return bad


def _handling_for(handlers: Mapping[str | None, Handling], record: Record) -> Handling | None:
    """Return the handler for a record. One whose type cannot be read may be anybody's: it is put aside, not skipped."""
    try:
        return handlers.get(type_of(record), handlers.get(None))
    except UnicodeDecodeError:
        return next(iter(handlers.values()), None)
