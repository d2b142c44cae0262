"""Numbered messages of several keys, written for as long as something is done to Kafka; and what became of them."""

import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

import psycopg

from tests.integration.topics import Topics
from tests.waiting import eventually
from txbox.daemon import Database
from txbox.outbox import Message, Outbox

__all__ = ["Traffic"]

#: messages a transaction, where they flow
_AT_ONCE: Final = 20


class Traffic:
    """Writes to topics in turns. One writer: what it writes of a key later, has a larger number."""

    def __init__(self, database: Database, *topics: str, keys: int = 7) -> None:
        self._database, self._topics, self._keys = database, topics, keys
        #: how many were committed
        self.written = 0
        self._since: dict[str, int] = {}
        self._over = threading.Event()

    def write(self, count: int) -> None:
        """Commit so many messages."""
        with psycopg.connect(self._database.url) as conn:
            Outbox().add_many(conn, [self._message(self.written + n) for n in range(count)])
        self.written += count

    @contextmanager
    def flowing(self) -> Iterator[None]:
        """Commit some messages all the time, in a thread."""
        self._over.clear()

        def flow() -> None:
            while not self._over.wait(0.02):
                self.write(_AT_ONCE)

        self._thread = threading.Thread(target=flow)
        self._thread.start()
        try:
            yield
        finally:
            self.stop()

    def stop(self) -> None:
        """Let nothing flow any more."""
        self._over.set()
        self._thread.join()

    def forget(self, topic: str) -> None:
        """Look for nothing in this topic that was written so far: it was deleted with what was in it."""
        self._since[topic] = self.written + _AT_ONCE  # some may be on their way to the table

    def arrived(self, topics: Topics, *, within: float = 60.0) -> None:
        """Wait until every topic has all messages; fail if the first occurrences of a key are not in order."""
        for topic in self._topics:
            expected = self._expected(topic)
            eventually(lambda: len(self.seen(topics, topic)) >= len(expected), within=within, every=0.3)  # noqa: B023  # now
            assert _by_key(self.seen(topics, topic)) == _by_key(expected)

    def seen(self, topics: Topics, topic: str) -> list[tuple[bytes, int]]:
        """Key and number of a topic's messages, without repeats, in order a partition."""
        all_ = dict.fromkeys((raw.key or b"", int(raw.value or b"")) for raw in topics.read(topic))
        return [one for one in all_ if one[1] >= self._since.get(topic, 0)]

    def _expected(self, topic: str) -> list[tuple[bytes, int]]:
        numbers = range(self._since.get(topic, 0), self.written)
        return [(f"k{number % self._keys}".encode(), number) for number in numbers if self._topic(number) == topic]

    def _topic(self, number: int) -> str:
        return self._topics[number // self._keys % len(self._topics)]

    def _message(self, number: int) -> Message:
        return Message("N", number, topic=self._topic(number), key=f"k{number % self._keys}")


def _by_key(messages: Iterable[tuple[bytes, int]]) -> dict[bytes, list[int]]:
    by_key = defaultdict(list)
    for key, number in messages:
        by_key[key].append(number)
    return by_key
