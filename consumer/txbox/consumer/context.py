"""What surrounds a handler: the headers that messages written in it carry on, and its span."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from types import ModuleType

from txbox.consumer.received import Received
from txbox.outbox.context import Carrying, opentelemetry, passed_on

__all__ = ["context_of"]


def context_of(message: Received, consumer: str) -> AbstractContextManager[None]:
    """Return the block in which a message's handler runs: what it writes is caused by this message."""
    headers = passed_on(str(message.id), message.headers)
    spans = opentelemetry()
    return Carrying(headers) if spans is None else _traced(spans, message, consumer, headers)


@contextmanager
def _traced(spans: ModuleType, message: Received, consumer: str, headers: dict[str, str]) -> Iterator[None]:
    place = {"partition": message.partition, "offset": message.offset, "tombstone": message.raw is None}
    with Carrying(headers), spans.processing(str(message.id), message.topic, headers, group=consumer, **place):
        yield
