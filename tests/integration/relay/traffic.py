"""Numbered messages of several keys, and the verdict on what has become of them."""

from collections import defaultdict
from typing import Any

import psycopg

from tests.integration.topics import Topics
from tests.waiting import eventually
from txbox.daemon import Database
from txbox.outbox import Message, Outbox

__all__ = ["Traffic"]

_KEYS = 5


class Traffic:
    """What one test writes into its outbox, and expects in its topic. Connections are its own: no link's are."""

    def __init__(self, database: Database, topics: Topics, topic: str) -> None:
        self._database, self._topics, self.topic = database, topics, topic
        self.written = 0
        #: numbers that Kafka refuses, each with a key of its own
        self.refused: list[int] = []

    def write(self, count: int) -> None:
        """Commit messages with the next numbers, in order a key."""
        numbers = range(self.written, self.written + count)
        self._commit([Message("N", n, topic=self.topic, key=n % _KEYS) for n in numbers])
        self.written += count

    def write_refused(self) -> None:
        """Commit a message that is too large for a topic of 1,000 bytes."""
        number = len(self.refused)
        self._commit([Message("Large", "x" * 3000, topic=self.topic, key=f"refused-{number}")])
        self.refused.append(number)

    def one(self, statement: str) -> Any:
        """The first column of a statement's one row."""
        with psycopg.connect(self._database.url, autocommit=True) as conn:
            row = conn.execute(statement.encode()).fetchone()
        return None if row is None else row[0]

    def saved(self) -> bool:
        """Whether the cursor has passed everything that was written."""
        return (
            self.one(
                "SELECT tail = pg_sequence_last_value(pg_get_serial_sequence('txbox.outbox', 'seq')) AND isempty(gaps) "
                "FROM txbox.relay_cursor WHERE name = 'default'"
            )
            is True
        )

    def settle(self, within: float = 40) -> None:
        """Return when it has."""
        eventually(self.saved, within=within)

    def judge(self) -> int:
        """Fail if something was lost, or came before its turn; return how many messages were repeated."""
        assert self.saved(), "the cursor is not behind the last row"
        came: dict[bytes | None, list[int]] = defaultdict(list)
        for raw in self._topics.read(self.topic):
            came[raw.key].append(int(raw.value or b""))
        first = {key: list(dict.fromkeys(numbers)) for key, numbers in came.items()}
        numbers = range(self.written)
        assert first == {str(key).encode(): list(numbers[key::_KEYS]) for key in range(min(_KEYS, self.written))}
        held = self.one("SELECT array_agg(aggregateid ORDER BY seq) FROM txbox.outbox_held")
        assert (held or []) == [f"refused-{number}" for number in self.refused]
        return sum(map(len, came.values())) - self.written

    def _commit(self, messages: list[Message]) -> None:
        with psycopg.connect(self._database.url) as conn:
            Outbox().add_many(conn, messages)
