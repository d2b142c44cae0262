"""Spans from the service through the relay to the handler, as they come out of OpenTelemetry's own exporter."""

import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.util._once import Once
from psycopg import Connection

from tests.integration.conftest import Publish
from tests.integration.topics import Topics
from txbox.consumer import Consumer, Received, Runner
from txbox.daemon import Database, Kafka
from txbox.outbox import Message, NoRoute, Outbox, bind
from txbox.relay import Relay, Row
from txbox.relay.traces import traced

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CANARY = "canary-7d1f"
RECORDED = re.compile("[13579bdf]$")

Spans = dict[str, ReadableSpan]


class Tracing:
    """A provider, and what it was told."""

    def __init__(self, sampler: Sampler) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(sampler=ParentBased(sampler))
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.provider.get_tracer("the service")

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    def named(self) -> Spans:
        names = [span.name for span in self.spans]
        assert len(set(names)) == len(names), names
        return {span.name: span for span in self.spans}


def provided(sampler: Sampler, monkeypatch: pytest.MonkeyPatch) -> Tracing:
    tracing = Tracing(sampler)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", Once())  # else a process could be configured but once
    trace.set_tracer_provider(tracing.provider)
    return tracing


@pytest.fixture
def tracing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tracing]:
    """Everything is recorded."""
    tracing = provided(ALWAYS_ON, monkeypatch)
    yield tracing
    tracing.provider.shutdown()


def headers(conn: Connection) -> list[Any]:
    """Those of all messages in the outbox, oldest first."""
    return [found for (found,) in conn.execute("SELECT headers FROM txbox.outbox ORDER BY seq")]


def place(context: trace.SpanContext | None) -> str:
    """As a traceparent says it, but for its flags."""
    assert context is not None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}"


def id_of(span: ReadableSpan) -> str:
    return place(span.get_span_context())


def parent_of(span: ReadableSpan) -> str:
    return place(span.parent)


def traceparents(conn: Connection) -> list[str]:
    """Those of all messages in the outbox, but for their flags."""
    return [found["traceparent"].rpartition("-")[0] for found in headers(conn)]


def test_one_trace_leads_from_the_service_through_the_relay_to_the_handler_and_on(
    tracing: Tracing,
    conn: Connection,
    database: Database,
    kafka: Kafka,
    topics: Topics,
    topic: str,
    relay_once: Callable[..., Relay],
) -> None:
    consumer = Consumer(topics.prefix, topics=[topic])

    @consumer.handler("Placed")
    def answer(conn: Connection, message: Received) -> None:
        Outbox().add(conn, Message("Charged", aggregate="charge", key=CANARY))

    with tracing.tracer.start_as_current_span("checkout"), conn.transaction():
        id_ = Outbox().add(conn, Message("Placed", {"card": CANARY}, topic=topic, key=CANARY, headers={"h": CANARY}))
    relay_once()
    Runner(consumer, database, kafka).run(once=True)

    spans = tracing.named()
    checkout, create, send, process, answered = (
        spans[name] for name in ("checkout", f"create {topic}", f"send {topic}", f"process {topic}", "create")
    )
    assert [span.kind for span in (create, send, process, answered)] == [
        SpanKind.PRODUCER,
        SpanKind.CLIENT,
        SpanKind.CONSUMER,
        SpanKind.PRODUCER,
    ]
    assert [parent_of(span) for span in (create, send, process, answered)] == [
        id_of(checkout),
        id_of(create),
        id_of(create),
        id_of(process),
    ]
    assert [place(link.context) for link in process.links] == [id_of(create)]
    assert traceparents(conn) == [id_of(create), id_of(answered)]
    shared = {"messaging.system": "kafka", "messaging.destination.name": topic, "messaging.message.id": str(id_)}
    assert dict(create.attributes or {}) == operation("create") | shared
    assert dict(send.attributes or {}) == operation("send") | shared
    assert dict(process.attributes or {}) == operation("process") | shared | {
        "messaging.consumer.group.name": topics.prefix,
        "messaging.destination.partition.id": "0",
        "messaging.kafka.offset": 0,
    }
    assert (create.start_time or 0) < (send.start_time or 0) < (send.end_time or 0) < (process.end_time or 0)
    assert CANARY not in "".join(span.to_json() for span in tracing.spans)


def operation(name: str) -> dict[str, str]:
    return {"messaging.operation.name": name, "messaging.operation.type": name}


def test_each_message_of_many_has_a_span_of_its_own(tracing: Tracing, conn: Connection, publish: Publish) -> None:
    with tracing.tracer.start_as_current_span("checkout"):
        ids = publish(*(Message("T", topic="orders") for _ in range(3)))
    creates = [span for span in tracing.spans if span.name == "create orders"]
    assert [(span.attributes or {})["messaging.message.id"] for span in creates] == [str(id_) for id_ in ids]
    assert traceparents(conn) == [id_of(span) for span in creates]


def test_a_trace_that_a_message_brings_is_its_own(tracing: Tracing, conn: Connection, publish: Publish) -> None:
    with tracing.tracer.start_as_current_span("checkout"):
        publish(Message("T", topic="orders", headers={"traceparent": TRACE}))
    assert headers(conn) == [{"traceparent": TRACE}]
    assert list(tracing.named()) == ["checkout"]


def test_what_is_bound_is_where_spans_begin(tracing: Tracing, conn: Connection, publish: Publish) -> None:
    with tracing.tracer.start_as_current_span("elsewhere"):
        with bind(traceparent=TRACE, tracestate="a=1", correlation_id="c"):
            publish(Message("T", topic="orders"))
    create = tracing.named()["create orders"]
    assert parent_of(create) == TRACE.removesuffix("-01")
    assert traceparents(conn) == [id_of(create)]
    assert headers(conn)[0].items() >= {"correlation-id": "c", "tracestate": "a=1"}.items()


def test_an_error_is_told_by_its_class_alone(
    tracing: Tracing,
    database: Database,
    kafka: Kafka,
    conn: Connection,
    topics: Topics,
    topic: str,
    publish: Publish,
    relay_once: Callable[..., Relay],
) -> None:
    consumer = Consumer(topics.prefix, topics=[topic])

    @consumer.handler("T")
    def fail(conn: Connection, message: Received) -> None:
        raise LookupError(CANARY)

    publish(Message("T", topic=topic))
    relay_once()
    Runner(consumer, database, kafka).run(once=True)
    with pytest.raises(NoRoute), conn.transaction():
        Outbox().add(conn, Message(CANARY))
    failed = [span for span in tracing.spans if not span.status.is_ok]
    assert {(span.name, (span.attributes or {})["error.type"]) for span in failed} == {
        (f"process {topic}", "builtins.LookupError"),
        ("create", "txbox.outbox.errors.NoRoute"),
    }
    assert {span.status.status_code for span in failed} == {StatusCode.ERROR}
    assert all(span.status.description is None and not span.events for span in failed)
    assert CANARY not in "".join(span.to_json() for span in tracing.spans)


def test_traces_that_nobody_records_cost_the_relay_nothing(tracing: Tracing) -> None:
    recorded, unrecorded = (
        Row(n, "orders", None, "id", "T", b"{}", f'{{"traceparent": "{parent}"}}', 0, 2)
        for n, parent in enumerate((TRACE, TRACE.removesuffix("01") + "00"))
    )
    assert list(traced([unrecorded, recorded, unrecorded])) == [recorded]


@pytest.mark.parametrize(
    "odd", ['[{"traceparent": "%s"}]', '{"a": {"traceparent": "%s"}}', '{"traceparent": "%s", "n": 1e400}']
)
def test_headers_of_other_writers_end_no_relay(
    tracing: Tracing, conn: Connection, topic: str, relay_once: Callable[..., Relay], topics: Topics, odd: str
) -> None:
    insert = "INSERT INTO txbox.outbox (type, topic, payload, headers) VALUES ('T', %s, '{}', %s)"
    conn.execute(insert, (topic, odd % TRACE))
    relay_once()
    assert len(topics.read(topic)) == 1
    assert tracing.spans == []


def test_a_span_processor_that_fails_ends_no_relay(
    tracing: Tracing,
    publish: Publish,
    topic: str,
    relay_once: Callable[..., Relay],
    topics: Topics,
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Failing(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            if span.name.startswith("send "):
                raise RuntimeError(CANARY)

    tracing.provider.add_span_processor(Failing())
    with tracing.tracer.start_as_current_span("checkout"):
        publish(Message("T", topic=topic))
    relay_once()
    assert len(topics.read(topic)) == 1
    [record] = [record for record in caplog.records if record.message == "a span processor failed"]
    assert vars(record)["error"] == "RuntimeError"
    assert CANARY not in caplog.text


def test_a_batch_has_a_hundred_spans_at_most(
    tracing: Tracing, publish: Publish, topic: str, relay_once: Callable[..., Relay]
) -> None:
    publish(*(Message("T", topic=topic, headers={"traceparent": TRACE}) for _ in range(150)))
    relay_once()
    assert [parent_of(span) for span in tracing.spans] == [TRACE.removesuffix("-01")] * 100


def test_a_sampler_that_records_nothing_hands_on_the_trace_all_the_same(
    monkeypatch: pytest.MonkeyPatch, conn: Connection, publish: Publish
) -> None:
    tracing = provided(ALWAYS_OFF, monkeypatch)
    with tracing.tracer.start_as_current_span("checkout") as checkout:
        publish(Message("T", topic="orders"))
    assert tracing.spans == []
    assert traceparents(conn)[0].startswith(f"00-{checkout.get_span_context().trace_id:032x}-")
    assert not RECORDED.search(headers(conn)[0]["traceparent"])


def test_without_a_provider_there_is_no_trace_but_the_one_that_was_bound(conn: Connection, publish: Publish) -> None:
    publish(Message("T", topic="orders"))
    with bind(traceparent=TRACE):
        publish(Message("T", topic="orders"))
    assert headers(conn) == [None, {"traceparent": TRACE}]


def test_tracing_logs_nothing(tracing: Tracing, publish: Publish, caplog: pytest.LogCaptureFixture) -> None:
    """The SDK warns of attributes that it cannot take."""
    with caplog.at_level(logging.DEBUG):
        publish(Message("T", topic="orders"), Message("T", aggregate="order"))
    assert len(tracing.spans) == 2
    assert [record for record in caplog.records if record.name.startswith("opentelemetry")] == []
