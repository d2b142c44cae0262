"""Ids that were taken: an id is in the inbox if and only if the effect of its message is committed, or held."""

from collections.abc import Iterable
from typing import Any, Protocol
from uuid import UUID

from psycopg import Connection
from psycopg.rows import scalar_row

from txbox.schema import Statements

__all__ = ["Inbox", "Taken"]


class Taken(Protocol):
    """What the inbox remembers of a message."""

    @property
    def id(self) -> UUID: ...
    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...


class Inbox:
    """The inbox of one consumer, on one connection."""

    def __init__(self, conn: Connection[Any], schema: str, consumer: str) -> None:
        """Find the consumer's number, and COMMIT a new one at its first start."""
        self._statements = Statements(__package__, "inbox.sql", schema)
        self._cursor = conn.cursor(row_factory=scalar_row)
        self.consumer = consumer
        self._lock = f"txbox consumer {schema} {consumer}"
        number = None
        while number is None:  # None: another first start inserted it after this statement's snapshot
            number = self._cursor.execute(self._statements["consumer"], {"name": consumer}).fetchone()
        self.consumer_id = int(number)

    def claim(self, messages: Iterable[Taken]) -> set[UUID]:
        """Take, in the transaction that is open, the ids that are not taken yet, and return those."""
        given = list(messages)
        if not given:
            return set()
        rows = self._cursor.execute(
            self._statements["claim"],
            {
                "consumer": self.consumer_id,
                "ids": [message.id for message in given],
                "topics": [message.topic for message in given],
                "partitions": [message.partition for message in given],
                "offsets": [message.offset for message in given],
            },
            prepare=True,
        )
        return set(rows.fetchall())

    def release(self, ids: Iterable[UUID]) -> None:
        """Give back ids that were taken in the transaction that is open."""
        self._cursor.execute(self._statements["release"], {"consumer": self.consumer_id, "ids": list(ids)})

    def take_turn(self) -> None:
        """Wait until no other process of this consumer is in a transaction that began so."""
        self._cursor.execute(self._statements["turn"], {"lock": self._lock})
