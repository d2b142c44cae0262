"""Which handler is for which messages, and what a batch of records asks for."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from psycopg import Connection

from txbox.consumer.errors import AsyncHandler, DuplicateHandler
from txbox.consumer.received import Received, Record, Unreadable, read, type_of

__all__ = ["Consumer", "Handler", "Plan", "plan"]

Handler = Callable[[Connection[Any], Received], None]
H = TypeVar("H", bound=Handler)


class Consumer:
    """Handlers by message type, for one set of topics.

    `name` is the name of the inbox and of the Kafka group: each consumer handles each message once. Under a new name
    a consumer begins again with the first message.
    """

    def __init__(self, name: str, *, topics: Iterable[str]) -> None:
        self.name = name
        self.topics = tuple(topics)
        self._handlers: dict[str | None, Handler] = {}

    def handler(self, type: str | None = None) -> Callable[[H], H]:  # noqa: A002  # the message's own word
        """Register the decorated function for messages of `type`; with None, for every type that has none of its own.

        It is called as `handler(conn, message)`, in the transaction in which the message's id is taken: what it does
        through `conn` happens once. It may run again for a message whose batch failed, with nothing left of the first
        run but what it did outside the database. Raises AsyncHandler, DuplicateHandler.
        """

        def register(function: H) -> H:
            if _is_async(function):
                raise AsyncHandler(name_of(function))
            if type in self._handlers:
                raise DuplicateHandler(self.name, type)
            self._handlers[type] = function
            return function

        return register

    @property
    def handlers(self) -> Mapping[str | None, Handler]:
        """The handlers by type; None is for every other type."""
        return self._handlers


def _is_async(handler: Handler) -> bool:
    """Return whether calling it runs nothing yet. Of an object that is no function, its class's __call__ tells."""
    later = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
    return any(is_later(what) for is_later in later for what in (handler, type(handler).__call__))


def name_of(handler: Handler) -> str:
    """Return how a handler is called in messages to people."""
    return f"{getattr(handler, '__module__', '?')}.{getattr(handler, '__qualname__', repr(handler))}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be done about a batch, in its order."""

    messages: tuple[tuple[Handler, Received], ...]
    unreadable: tuple[Unreadable, ...]
    #: records whose type has no handler: they are none of this consumer's business, and leave no trace in the inbox
    skipped: tuple[Record, ...]


def plan(handlers: Mapping[str | None, Handler], records: Iterable[Record], *, attempt: int = 1) -> Plan:
    """Return what a batch of records asks for, at the `attempt`-th time that it is tried. Pure."""
    messages: list[tuple[Handler, Received]] = []
    unreadable: list[Unreadable] = []
    skipped: list[Record] = []
    for record in records:
        handler = _handler_for(handlers, record)
        if handler is None:
            skipped.append(record)
            continue
        match read(record, attempt):
            case Received() as received:
                messages.append((handler, received))
            case Unreadable() as bad:
                unreadable.append(bad)
    return Plan(messages=tuple(messages), unreadable=tuple(unreadable), skipped=tuple(skipped))


def _handler_for(handlers: Mapping[str | None, Handler], record: Record) -> Handler | None:
    """Return the handler for a record. One whose type cannot be read may be anybody's: it is put aside, not skipped."""
    try:
        return handlers.get(type_of(record), handlers.get(None))
    except UnicodeDecodeError:
        return next(iter(handlers.values()), None)
