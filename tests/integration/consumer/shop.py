"""A handler that fails for the keys, or at the offsets, that it is told to."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from psycopg import Connection

from tests.integration.topics import Raw, Topics
from txbox.consumer import ConsumerConfig, Received

__all__ = ["CONFIG", "Shop", "keyed", "of_key"]

CONFIG = ConsumerConfig(backoff_first=0.02, backoff_cap=0.2, attempts=50)


class Shop:
    """A handler that fails for the keys, or at the offsets, that it is told to."""

    def __init__(self, add: Callable[[Connection[Any], Received], None]) -> None:
        self._add = add
        self.bad_keys: set[str | None] = set()
        self.bad_offsets: set[int] = set()
        self.error: Exception = ValueError("not yet")
        self.seen: list[Received] = []

    def handle(self, conn: Connection[Any], message: Received) -> None:
        self.seen.append(message)
        self._add(conn, message)
        if message.key in self.bad_keys or message.offset in self.bad_offsets:
            raise self.error

    def attempts(self, offset: int) -> list[int]:
        return [message.attempt for message in self.seen if message.offset == offset]


def keyed(keys: Iterable[str]) -> list[Raw]:
    return [Raw.message(key=key.encode()) for key in keys]


def of_key(had: Sequence[str], topics: Topics, topic: str, keys: str, key: str) -> tuple[list[str], list[str]]:
    """The ids of a key's messages as they had their effect, and as they were sent."""
    sent = [id_ for id_, k in zip(topics.ids(topic), keys, strict=True) if k == key]
    return [id_ for id_ in had if id_ in sent], sent
