"""A message's way to Kafka, told to its trace: for the few of a batch whose traces are recorded."""

import logging
import re
import time
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

from txbox.outbox.context import TRACEPARENT, opentelemetry
from txbox.outbox.envelope import record_headers
from txbox.relay.batch import Row

__all__ = ["tell_sent", "traced"]

#: A span costs more than all else that is done for a message: of a batch's messages, so many have one at most.
_MOST: Final = 100
#: the header as PostgreSQL writes it, its flags odd: recorded
_RECORDED: Final = re.compile(r'"traceparent": "[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f][13579bdf]')

_log = logging.getLogger(__name__)


def traced(rows: Iterable[Row]) -> Sequence[Row]:
    """Return rows whose traces want to hear of them: none unless the process has a tracer provider."""
    spans = opentelemetry()
    if spans is None or not spans.is_configured():
        return ()
    return list(islice((row for row in rows if row.headers and _RECORDED.search(row.headers)), _MOST))


def tell_sent(rows: Sequence[Row], departed: float) -> None:
    """Kafka has acked these rows, which were handed to librdkafka at a time of the monotonic clock."""
    spans = opentelemetry()
    if spans is None or not rows:
        return
    ended = time.time_ns()
    began = ended - int((time.monotonic() - departed) * 1e9)
    for row in rows:
        sent = record_headers(row.id, row.type, row.headers)
        headers = {name: value for name, value in sent if isinstance(value, str)}
        if TRACEPARENT in headers:  # of another writer's row anything may be deep in some other value
            try:
                spans.tell_sent(row.id, row.topic, headers, began=began, ended=ended)
            except Exception as error:  # of a user's span processor: no reason to publish nothing more
                # Its class alone: what it says may have been taken from the message.
                _log.warning("a span processor failed", extra={"error": type(error).__name__})
                return  # it would with the next too
