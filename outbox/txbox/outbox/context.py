"""What a message is part of: headers that those written inside a block carry on.

    correlation-id   one for a whole flow: all messages that come of one cause have it
    causation-id     the id of the message that this one answers
    traceparent      where in which trace it was written, as W3C says; tracestate belongs to it

A context is that of a thread or an asyncio task: tasks inherit it from who makes them, new threads begin without one.
Spans, where the process has OpenTelemetry, are in `tracing`.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType, ModuleType, TracebackType
from typing import Final, TypeGuard

from txbox.outbox import envelope
from txbox.outbox.errors import InvalidHeader

__all__ = [
    "CAUSATION_ID",
    "CORRELATION_ID",
    "TRACEPARENT",
    "TRACESTATE",
    "Carrying",
    "bind",
    "carried",
    "opentelemetry",
    "passed_on",
]

CORRELATION_ID: Final = "correlation-id"
CAUSATION_ID: Final = "causation-id"
TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"

# https://www.w3.org/TR/trace-context/#traceparent-header-field-values; later versions may say more behind it
_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
#: characters of what came with a message and goes on with others: who forges one must not swell all that follow
_LONGEST: Final = 512

_carried: ContextVar[Mapping[str, str]] = ContextVar("txbox_carried", default=MappingProxyType({}))


@contextmanager
def bind(
    *,
    correlation_id: str | None = None,
    causation_id: str | None = None,
    traceparent: str | None = None,
    tracestate: str | None = None,
) -> Iterator[None]:
    """Messages written inside have these headers, unless they bring their own. What is None stays as it is outside.

    The consumer does it around each handler. With OpenTelemetry, spans begun inside are part of that trace; and a span
    that is current when a message is written is what its traceparent names. Raises InvalidHeader.
    """
    given = {CORRELATION_ID: correlation_id, CAUSATION_ID: causation_id, TRACEPARENT: traceparent}
    bound = {name: value for name, value in given.items() if value is not None}
    if traceparent is not None and tracestate is not None:
        bound[TRACESTATE] = tracestate
    for name, value in bound.items():
        if why := envelope.unstorable(value):
            raise InvalidHeader(name, why)
    outer = _carried.get()
    if traceparent is not None:
        outer = {name: value for name, value in outer.items() if name != TRACESTATE}  # it says nothing of another trace
    with Carrying({**outer, **bound}):
        spans = opentelemetry()
        if spans is None or traceparent is None:
            yield
        else:
            with spans.within(bound):
                yield


class Carrying:
    """A block in which messages have exactly these headers. Not a generator: the consumer has one for each message."""

    __slots__ = ("_headers", "_token")

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers

    def __enter__(self) -> None:
        self._token = _carried.set(self._headers)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _carried.reset(self._token)


def carried() -> Mapping[str, str]:
    """Return the headers that a message written now has, unless it brings its own."""
    return _carried.get()


def passed_on(id_: str, headers: Mapping[str, str | bytes | None]) -> dict[str, str]:
    """Return what messages that are written because of this one carry on.

    Its id as their cause, and its correlation id, or its id if it has none: then it is the first of its flow. Its trace
    as it is; what is no trace, or too long to be honest, is left out.
    """
    correlation = headers.get(CORRELATION_ID)
    found = {CORRELATION_ID: correlation if _is_fit(correlation) else id_, CAUSATION_ID: id_}
    traceparent = headers.get(TRACEPARENT)
    if _is_fit(traceparent) and _TRACEPARENT.fullmatch(traceparent):
        found[TRACEPARENT] = traceparent
        if _is_fit(tracestate := headers.get(TRACESTATE)):
            found[TRACESTATE] = tracestate
    return found


def _is_fit(value: str | bytes | None) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST and "\0" not in value


def opentelemetry() -> ModuleType | None:
    """Return `txbox.outbox.tracing` if this process uses OpenTelemetry, else None.

    It is never imported here first: who configures tracing has imported it, and nobody else pays for it.
    """
    if "opentelemetry.trace" not in sys.modules:
        return None
    from txbox.outbox import tracing

    return tracing
