"""What a message is part of: who binds what, and which messages have it."""

import asyncio
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from txbox.outbox import InvalidHeader, Message, bind
from txbox.outbox.context import carried, passed_on
from txbox.outbox.message import Row

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER = "00-11111111111111111111111111111111-2222222222222222-00"


def written(**headers: str | bytes) -> Any:
    """The headers that a message written now has in the table."""
    row = Row.of(Message("T", {}, topic="orders", headers=headers), 900_000)
    return orjson.loads(row.headers or "{}")


def test_messages_written_inside_have_what_is_bound_and_those_outside_do_not() -> None:
    with bind(correlation_id="c", causation_id="m", traceparent=TRACE, tracestate="a=1"):
        assert written(own="x") == {
            "correlation-id": "c",
            "causation-id": "m",
            "traceparent": TRACE,
            "tracestate": "a=1",
            "own": "x",
        }
    assert written() == {}


def test_nothing_is_made_up() -> None:
    with bind():
        assert written() == {}
    with bind(correlation_id="c"):
        assert written() == {"correlation-id": "c"}


def test_what_is_not_bound_stays_as_it_is_outside() -> None:
    with bind(correlation_id="c", causation_id="1"):
        with bind(causation_id="2"):
            assert written() == {"correlation-id": "c", "causation-id": "2"}
        assert written() == {"correlation-id": "c", "causation-id": "1"}


def test_a_message_keeps_its_own_headers() -> None:
    with bind(correlation_id="c", causation_id="m", traceparent=TRACE):
        found = written(**{"correlation-id": "mine", "traceparent": OTHER})
    assert found == {"correlation-id": "mine", "causation-id": "m", "traceparent": OTHER}


def test_a_tracestate_goes_with_its_own_trace_only() -> None:
    with bind(traceparent=TRACE, tracestate="a=1"):
        with bind(traceparent=OTHER):
            assert written() == {"traceparent": OTHER}
        assert written(traceparent=OTHER) == {"traceparent": OTHER}
        assert written(traceparent=OTHER, tracestate="b=2") == {"traceparent": OTHER, "tracestate": "b=2"}
    with bind(tracestate="a=1"):
        assert written() == {}


@pytest.mark.parametrize("value", ["", "a\0b", "half \ud800", 7])
def test_what_no_header_can_carry_is_refused_where_it_is_bound(value: Any) -> None:
    with pytest.raises(InvalidHeader, match="correlation-id"), bind(correlation_id=value):
        pass


def test_an_error_ends_the_block_too() -> None:
    with pytest.raises(LookupError), bind(correlation_id="c"):
        raise LookupError
    assert written() == {}


def test_threads_have_each_their_own() -> None:
    def in_thread(name: str) -> Any:
        with bind(correlation_id=name):
            return [written() for _ in range(100)]

    with bind(correlation_id="main"), ThreadPoolExecutor(4) as pool:
        found = list(pool.map(in_thread, "abcd"))
        assert pool.submit(written).result() == {}
        assert written() == {"correlation-id": "main"}
    assert found == [[{"correlation-id": name}] * 100 for name in "abcd"]


def test_tasks_have_what_was_bound_where_they_were_made_and_change_it_for_themselves() -> None:
    async def task(name: str) -> Any:
        before = written()
        with bind(causation_id=name):
            await asyncio.sleep(0)  # the others run now
            return before, written()

    async def flow() -> Any:
        with bind(correlation_id="c"):
            return await asyncio.gather(task("1"), task("2"), task("3"))

    found = asyncio.run(flow())
    assert found == [({"correlation-id": "c"}, {"correlation-id": "c", "causation-id": n}) for n in "123"]


def test_an_answer_carries_on_the_flow_of_its_message() -> None:
    headers = {"correlation-id": "c", "causation-id": "0", "traceparent": TRACE, "tracestate": "a=1", "x": "y"}
    assert passed_on("m", headers) == {
        "correlation-id": "c",
        "causation-id": "m",
        "traceparent": TRACE,
        "tracestate": "a=1",
    }


def test_a_message_without_a_flow_begins_one() -> None:
    assert passed_on("m", {}) == {"correlation-id": "m", "causation-id": "m"}


@pytest.mark.parametrize(
    "traceparent",
    [
        None,
        b"\xff",
        "",
        "garbage",
        TRACE.upper(),
        TRACE.replace("00-", "ff-", 1),
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01",
        TRACE + "\n",
        TRACE + "-" + "x" * 1000,
    ],
)
def test_what_is_no_trace_goes_no_further(traceparent: Any) -> None:
    assert passed_on("m", {"traceparent": traceparent, "tracestate": "a=1"}).keys() == {
        "correlation-id",
        "causation-id",
    }


@given(st.dictionaries(st.sampled_from(["correlation-id", "traceparent", "tracestate"]), st.text() | st.binary()))
def test_whatever_came_with_a_message_its_answers_can_be_written(headers: dict[str, str | bytes]) -> None:
    with bind(causation_id="x"):
        found = passed_on("m", headers)
    assert all(0 < len(value) <= 512 for value in found.values())
    assert carried() == {}
    row = Row.of(Message("T", topic="orders", headers={**found}), 900_000)
    assert orjson.loads(row.headers or "") == found


def test_opentelemetry_is_never_loaded_by_us() -> None:
    code = """
import sys, txbox.cli.main, txbox.consumer, txbox.outbox, txbox.relay
from txbox.consumer.context import context_of
from txbox.consumer.received import Record, read
from txbox.outbox import Message, bind
from txbox.outbox.message import Row
from txbox.relay.traces import tell_sent, traced
with bind(traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"):
    Row.of(Message("T", topic="t"), 100)
with context_of(read(Record("t", 0, 0, 0, None, b"{}", [("id", b"1"), ("type", b"T")])), "c"):
    Row.of(Message("T", topic="t"), 100)
tell_sent(traced([]), 0.0)
sys.exit(next((name for name in sys.modules if "opentelemetry" in name), None))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
