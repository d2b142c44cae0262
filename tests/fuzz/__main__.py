"""Bytes that nobody would write, by coverage: python -m tests.fuzz TARGET [libFuzzer's options]. See `make fuzz`.

A target raises nothing but what it says it raises; atheris keeps the input that made it do otherwise.
"""

import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import atheris

with atheris.instrument_imports(include=["txbox", "tomllib"]):
    import click

    from txbox.cli.settings import SETTINGS, read_file
    from txbox.consumer.context import context_of
    from txbox.consumer.guard import refusal
    from txbox.consumer.received import Received, Record, read
    from txbox.outbox import Message, OutboxError
    from txbox.outbox.envelope import record_headers
    from txbox.outbox.message import Row

_FILE: Final = Path(tempfile.mkdtemp(prefix="txbox-fuzz-")) / "txbox.toml"


def record(data: bytes) -> None:
    """Whatever comes from Kafka is a message, or it is told why not; and its answers can be written."""
    given = atheris.FuzzedDataProvider(data)
    names = ["id", "type", "content-type", "traceparent", "tracestate", "correlation-id", given.ConsumeUnicode(8)]
    headers = [
        (
            given.PickValueInList(names),
            given.ConsumeBytes(given.ConsumeIntInRange(0, 60)) if given.ConsumeBool() else None,
        )
        for _ in range(given.ConsumeIntInRange(0, 6))
    ]
    timestamp = given.ConsumeInt(8)
    key, value = given.ConsumeBytes(8), given.ConsumeBytes(200)
    message = read(Record("orders", 0, 0, timestamp, key, value, headers))
    if isinstance(message, Received):
        with context_of(message, "fuzz"):
            Row.of(Message("T", topic="answers"), 900_000)


def row(data: bytes) -> None:
    """Whatever stands in a row of another writer has headers that Kafka takes."""
    text = data.decode(errors="replace")
    for _, value in record_headers("id", "T", text):
        assert value is None or isinstance(value, str | bytes)


def message(data: bytes) -> None:
    """A message is written, or refused by an error of ours."""
    given = atheris.FuzzedDataProvider(data)
    headers = {given.ConsumeUnicode(10): given.ConsumeUnicode(20) for _ in range(given.ConsumeIntInRange(0, 4))}
    type_, key, payload = given.ConsumeUnicode(10), given.ConsumeUnicode(10), given.ConsumeUnicode(50)
    with suppress(OutboxError):
        Row.of(Message(type_, payload, topic=given.ConsumeUnicode(10), key=key, headers=headers), 900_000)


def config(data: bytes) -> None:
    """A settings' file is read, or refused by an error that names it; its values too."""
    _FILE.write_bytes(data)
    with suppress(click.UsageError):
        for key, value in read_file(_FILE).items():
            if key in SETTINGS:
                SETTINGS[key].type.convert(value, None, None)


def sql(data: bytes) -> None:
    """Whatever a handler executes is looked at."""
    refusal.__wrapped__(data.decode(errors="replace"))


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    target.__name__: target for target in (config, message, record, row, sql)
}

if __name__ == "__main__":
    name = sys.argv.pop(1)
    atheris.Setup(sys.argv, TARGETS[name])
    atheris.Fuzz()
