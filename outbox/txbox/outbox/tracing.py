"""Spans, as OpenTelemetry's conventions for messaging have them. Imported only where OpenTelemetry already is.

    create   PRODUCER   a message is written to the outbox; its traceparent names this span
    send     CLIENT     the relay has published it: from when it was handed to librdkafka until it was acked
    process  CONSUMER   a handler runs; linked to the span that the message's traceparent names, and a child of it

https://opentelemetry.io/docs/specs/semconv/messaging/: not stable yet, hence all names are here. A span never has
anything of a payload, a key, or an exception's text, which may hold one; `error.type` says which class it was.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Final

from opentelemetry import context as otel
from opentelemetry import trace
from opentelemetry.trace import Link, Span, SpanKind, StatusCode, Tracer, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

__all__ = ["creating", "is_configured", "processing", "tell_sent", "within"]

_W3C: Final = TraceContextTextMapPropagator()

Attributes = dict[str, str | int | bool]


def is_configured() -> bool:
    """Return whether somebody configured a provider: else no span is made, and nothing costs."""
    return _tracer() is not None


@contextmanager
def within(headers: Mapping[str, str]) -> Iterator[None]:
    """Spans begun inside are children of the one that these headers name, if they name one."""
    token = otel.attach(_W3C.extract(headers, otel.get_current()))
    try:
        yield
    finally:
        otel.detach(token)


@contextmanager
def creating(id_: str, topic: object, carried: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    """Yield the headers of a message that is written inside: those carried, and where in which trace that is."""
    tracer = _tracer()
    destination = topic if isinstance(topic, str) else None  # what else it is, or that it is none, is told elsewhere
    if tracer is None:
        yield _named_in(carried)
        return
    span = tracer.start_span(
        f"create {destination}" if destination else "create",
        kind=SpanKind.PRODUCER,
        attributes=_attributes("create", destination, id_),
    )
    with _current(span):
        yield _named_in(carried)


@contextmanager
def processing(
    id_: str, topic: str, headers: Mapping[str, str], *, group: str, partition: int, offset: int, tombstone: bool
) -> Iterator[None]:
    """A handler runs inside, for a message that has these headers."""
    tracer = _tracer()
    with within(headers):
        if tracer is None:
            yield
            return
        origin = trace.get_current_span().get_span_context()
        attributes = _attributes("process", topic, id_) | {
            "messaging.consumer.group.name": group,
            "messaging.destination.partition.id": str(partition),
            "messaging.kafka.offset": offset,
        }
        if tombstone:
            attributes["messaging.kafka.message.tombstone"] = True
        links = [Link(origin)] if origin.is_valid else []
        with _current(tracer.start_span(f"process {topic}", None, SpanKind.CONSUMER, attributes, links)):
            yield


def tell_sent(id_: str, topic: str, headers: Mapping[str, str], *, began: int, ended: int) -> None:
    """A message was published in the trace that its headers name; times in nanoseconds since 1970."""
    tracer = _tracer()
    if tracer is None:
        return
    span = tracer.start_span(
        f"send {topic}",
        _W3C.extract(headers),
        SpanKind.CLIENT,
        _attributes("send", topic, id_),
        start_time=began,
    )
    span.end(ended)


def _tracer() -> Tracer | None:
    provider = trace.get_tracer_provider()
    return None if isinstance(provider, trace.ProxyTracerProvider) else _tracer_of(provider)


@lru_cache(maxsize=1)  # the SDK makes a new one each time
def _tracer_of(provider: TracerProvider) -> Tracer:
    return provider.get_tracer("txbox")


def _attributes(operation: str, destination: str | None, id_: str) -> Attributes:
    found: Attributes = {
        "messaging.system": "kafka",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.message.id": id_,
    }
    return found | {"messaging.destination.name": destination} if destination else found


@contextmanager
def _current(span: Span) -> Iterator[None]:
    """The span is current inside, and ends with the block; of an error it tells the class alone."""
    with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        try:
            yield
        except BaseException as error:
            kind = type(error)
            span.set_attribute("error.type", f"{kind.__module__}.{kind.__qualname__}")
            span.set_status(StatusCode.ERROR)
            raise


def _named_in(carried: Mapping[str, str]) -> Mapping[str, str]:
    """Return headers with the current span's traceparent and tracestate; as they are if there is none."""
    if not trace.get_current_span().get_span_context().is_valid:
        return carried
    headers = {name: value for name, value in carried.items() if name != "tracestate"}
    _W3C.inject(headers)
    return headers
