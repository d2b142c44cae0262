"""What a handler writes carries on the flow of the message that it handles."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from psycopg import Connection

from tests.integration.topics import Raw, Topics
from txbox.consumer import Consumer, ConsumerConfig, Received, Reject, Runner
from txbox.daemon import Database, Kafka
from txbox.outbox import Message, Outbox, bind

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def topic_name(topic: str) -> str:
    return topic


@pytest.fixture
def run_once(consumer: Consumer, database: Database, kafka: Kafka) -> Callable[..., None]:
    def run(**config: Any) -> None:
        Runner(consumer, database, kafka, ConsumerConfig(backoff_first=0.01, backoff_cap=0.02, **config)).run(once=True)

    return run


def put(topics: Topics, topic: str, **headers: str) -> str:
    """Put a message on the topic and return its id."""
    id_ = str(uuid4())
    topics.put(topic, Raw(b"{}", id_.encode(), [("id", id_.encode()), ("type", b"T"), *_encoded(headers)]))
    return id_


def _encoded(headers: dict[str, str]) -> list[tuple[str, bytes | None]]:
    return [(name.replace("_", "-"), value.encode()) for name, value in headers.items()]


def written(conn: Connection) -> list[Any]:
    """The headers of all messages in the outbox, oldest first."""
    return [headers for (headers,) in conn.execute("SELECT headers FROM txbox.outbox ORDER BY seq")]


def answer(conn: Connection, message: Received) -> None:
    Outbox().add(conn, Message("Answer", topic="answers"))


def test_an_answer_names_its_message_its_flow_and_its_trace(
    conn: Connection, consumer: Consumer, run_once: Callable[[], None], topics: Topics, topic: str
) -> None:
    consumer.handler("T")(answer)
    first = put(topics, topic, correlation_id="c", causation_id="before", traceparent=TRACE, tracestate="a=1")
    second = put(topics, topic)
    third = put(topics, topic, traceparent="no trace", correlation_id="d")
    run_once()
    assert written(conn) == [
        {"correlation-id": "c", "causation-id": first, "traceparent": TRACE, "tracestate": "a=1"},
        {"correlation-id": second, "causation-id": second},
        {"correlation-id": "d", "causation-id": third},
    ]


def test_a_handler_may_say_otherwise(
    conn: Connection, consumer: Consumer, run_once: Callable[[], None], topics: Topics, topic: str
) -> None:
    @consumer.handler("T")
    def split(conn: Connection, message: Received) -> None:
        with bind(correlation_id="another"):
            answer(conn, message)
        Outbox().add(conn, Message("Answer", topic="answers", headers={"causation-id": "mine"}))

    id_ = put(topics, topic, correlation_id="c")
    run_once()
    assert written(conn) == [
        {"correlation-id": "another", "causation-id": id_},
        {"correlation-id": "c", "causation-id": "mine"},
    ]


def test_a_message_that_was_held_carries_on_as_well_and_a_failed_one_leaves_nothing_behind(
    conn: Connection, consumer: Consumer, run_once: Callable[[], None], topics: Topics, topic: str
) -> None:
    @consumer.handler("T")
    def second_time(conn: Connection, message: Received) -> None:
        if message.attempt == 1:
            raise ValueError
        answer(conn, message)

    id_ = put(topics, topic, correlation_id="c", traceparent=TRACE)
    run_once()
    while not written(conn):
        run_once()
    assert written(conn) == [{"correlation-id": "c", "causation-id": id_, "traceparent": TRACE}]


def test_a_dead_letter_has_the_headers_of_its_original_and_no_others(
    conn: Connection, consumer: Consumer, run_once: Callable[..., None], topics: Topics, topic: str
) -> None:
    @consumer.handler("T")
    def reject(conn: Connection, message: Received) -> None:
        raise Reject("no")

    put(topics, topic)
    put(topics, topic, correlation_id="c", traceparent=TRACE)
    run_once(dead_letter_topic="{topic}.dlt")
    plain, traced = written(conn)
    assert not {"correlation-id", "causation-id", "traceparent"} & plain.keys()
    assert (traced["correlation-id"], traced["traceparent"]) == ("c", TRACE)
    assert "causation-id" not in traced
