"""Numbered messages of several keys on a topic, and the effects that they had: each once, a key's in order."""

import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import psycopg
from confluent_kafka import KafkaError, Producer
from psycopg import Connection

from tests.waiting import eventually
from txbox.consumer import Received

__all__ = ["Effects", "Traffic", "Verdict", "effect", "flaky"]

#: key and number in it
Numbered = tuple[str, int]

#: messages at once, where they flow
_AT_ONCE = 20


def effect(conn: Connection[Any], message: Received) -> None:
    """Note that a numbered message had its effect; the handler of these tests."""
    conn.execute("INSERT INTO numbered (key, nth) VALUES (%s, %s)", (message.key, message.payload))


def flaky(conn: Connection[Any], message: Received) -> None:
    """Fail the first two times for one message in fifty of each key: it is held, and those behind it."""
    effect(conn, message)
    if message.attempt < 3 and isinstance(message.payload, int) and message.payload % 50 == 7:
        raise ValueError("not yet")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong; nothing, by default."""

    lost: frozenset[Numbered] = frozenset()
    repeated: frozenset[Numbered] = frozenset()
    #: effects that came after that of a later message of their key
    misordered: tuple[Numbered, ...] = ()
    invented: frozenset[Numbered] = frozenset()

    @classmethod
    def of(cls, written: Sequence[Numbered], effects: Sequence[Numbered]) -> "Verdict":
        """Compare what was written with what happened, in the order in which it did."""
        highest: dict[str, int] = defaultdict(lambda: -1)
        late: list[Numbered] = []
        for key, nth in dict.fromkeys(effects):
            if nth < highest[key]:
                late.append((key, nth))
            highest[key] = max(highest[key], nth)
        once = set(effects)
        repeated = frozenset(one for one in once if effects.count(one) > 1) if len(once) < len(effects) else frozenset()
        return cls(frozenset(written) - once, repeated, tuple(late), frozenset(once) - set(written))


class Effects:
    """The table into which `effect` writes. It has no unique index: what happens twice is to be seen."""

    def __init__(self, url: str) -> None:
        self._url = url
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute("CREATE TABLE numbered (n bigint GENERATED ALWAYS AS IDENTITY, key text, nth int)")

    def count(self) -> int:
        """How many there are; -1 while the database cannot be asked."""
        try:
            with psycopg.connect(self._url) as conn:
                row = conn.execute("SELECT count(*) FROM numbered").fetchone()
        except psycopg.OperationalError:
            return -1
        assert row is not None
        return int(row[0])

    def all(self) -> list[Numbered]:
        """In the order in which they were written: of a key, no two transactions write at one time."""
        with psycopg.connect(self._url) as conn:
            return [(key, nth) for key, nth in conn.execute("SELECT key, nth FROM numbered ORDER BY n")]


@dataclass
class Traffic:
    """Writes numbered messages; a key's are in one partition, in order, for as long as the topic's count stays.

    What was acked was written; what Kafka does not ack in time is tried for as long as it takes.
    """

    bootstrap_servers: str
    topic: str
    keys: int = 12

    def __post_init__(self) -> None:
        self.written: list[Numbered] = []
        self._failed: list[KafkaError] = []
        self._over = threading.Event()
        self.renew()

    def renew(self) -> None:
        """Go on with a producer that knows the topic as it is now."""
        settings = {"bootstrap.servers": self.bootstrap_servers, "enable.idempotence": True, "message.timeout.ms": 0}
        self._producer = Producer({**settings, "log_level": 0})

    def write(self, count: int, *, flush: bool = True) -> None:
        """Write so many messages, the keys in turns."""
        for number in range(len(self.written), len(self.written) + count):
            key, nth = f"k{number % self.keys}", number // self.keys
            headers: list[tuple[str, str | bytes | None]] = [("id", str(uuid4())), ("type", "N")]
            self._producer.produce(self.topic, str(nth).encode(), key.encode(), headers=headers, on_delivery=self._told)
            self.written.append((key, nth))
        if flush:
            self.flush()

    def flush(self) -> None:
        """Return when Kafka has all of them."""
        assert self._producer.flush(60) == 0
        assert not self._failed

    @contextmanager
    def flowing(self, every: float = 0.02) -> Iterator[None]:
        """Write some all the time, in a thread; all have arrived when the block is left."""
        self._over.clear()

        def flow() -> None:
            while not self._over.wait(every):
                self.write(_AT_ONCE, flush=False)
                self._producer.poll(0)

        thread = threading.Thread(target=flow)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()
        self.flush()

    def more(self, effects: Effects, count: int = 200, *, within: float = 60.0) -> None:
        """While it flows: return when so many more effects are there than now."""
        now = eventually(lambda: effects.count() + 1, within=within)  # + 1: none is an answer too
        eventually(lambda: effects.count() >= now - 1 + count, within=within)

    def settled(self, effects: Effects, *, within: float = 60.0) -> None:
        """Wait for as many effects as messages were written; fail if one is missing, repeated or out of its order."""
        try:
            eventually(lambda: effects.count() >= len(self.written), within=within, every=0.1)
        finally:
            found = Verdict.of(self.written, effects.all())
            assert found == Verdict(), f"of {len(self.written):,}: {found}"[:4000]

    def _told(self, error: KafkaError | None, _: object) -> None:
        if error is not None:
            self._failed.append(error)
