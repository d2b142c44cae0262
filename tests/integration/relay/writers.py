"""Writers in threads, through every fault of a server, and their own record of what COMMIT acknowledged."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from random import Random

import psycopg

from tests.integration.relay.stress_cursors import Seen, Verdict, judge
from tests.integration.topics import Topics
from tests.waiting import eventually
from txbox.outbox import Message, Outbox

__all__ = ["Outcome", "Traffic", "outcome", "traffic"]

WRITERS = 4
KEYS_EACH = 5
_TAIL = "SELECT coalesce(max(tail), 0) FROM txbox.relay_cursor"
_UNCOVERED = """
SELECT count(*) FROM txbox.outbox AS o
WHERE NOT EXISTS (SELECT FROM txbox.relay_cursor AS c WHERE o.seq <= c.tail AND NOT c.gaps @> o.seq)
"""


class Traffic:
    """Messages of keys that have one writer each, numbered in the order in which that one tries to write them."""

    def __init__(self, url: str, topic: str, synchronous_commit: str) -> None:
        self._url, self._topic, self._synchronous_commit = url, topic, synchronous_commit
        self._stopped = threading.Event()
        self._outbox = Outbox()
        #: what the database said was committed, and all that it may have committed
        self.acknowledged: set[Seen] = set()
        self.tried: set[Seen] = set()

    def more(self, count: int = 200) -> None:
        """Return when so many more messages were acknowledged, and the relay has done some of them."""
        wanted = len(self.acknowledged) + count
        with psycopg.connect(self._url, autocommit=True) as conn:
            [tail] = conn.execute(_TAIL).fetchone() or (0,)
            eventually(lambda: len(self.acknowledged) >= wanted, within=60)
            eventually(lambda: (conn.execute(_TAIL).fetchone() or (0,)) > (tail,), within=60)

    def write(self, writer: int) -> None:
        """Write until stopped, on a new connection whenever one was lost."""
        random, last = Random(writer), Counter[int]()
        while not self._stopped.is_set():
            with suppress(psycopg.Error), psycopg.connect(self._url, connect_timeout=5) as conn:
                conn.execute(f"SET synchronous_commit = {self._synchronous_commit}".encode())
                conn.commit()
                while not self._stopped.is_set():
                    self._transaction(conn, writer, random, last)
            self._stopped.wait(0.02)  # else a server that is down would be asked all the time

    def stop(self) -> None:
        self._stopped.set()

    def _transaction(self, conn: psycopg.Connection, writer: int, random: Random, last: Counter[int]) -> None:
        """Write one to three messages, and commit, or now and then not."""
        written = set()
        for _ in range(random.choice((1, 1, 2, 3))):
            key = writer * KEYS_EACH + random.randrange(KEYS_EACH)
            last[key] += 1
            body = {"key": key, "n": last[key]}
            id_ = self._outbox.add(conn, Message("Traffic", body, topic=self._topic, key=key))
            written.add(Seen(id_, key, last[key]))
        if random.random() < 0.2:
            conn.rollback()
        else:
            self.tried |= written
            conn.commit()
            self.acknowledged |= written


@contextmanager
def traffic(url: str, topic: str, synchronous_commit: str = "on") -> Iterator[Traffic]:
    """Write for as long as the block lasts."""
    one = Traffic(url, topic, synchronous_commit)
    with ThreadPoolExecutor(WRITERS) as pool:
        writers = [pool.submit(one.write, number) for number in range(WRITERS)]
        try:
            yield one
        finally:
            one.stop()
    for writer in writers:
        writer.result()


class Outcome:
    """What became of the messages."""

    def __init__(self, traffic: Traffic, table: set[Seen], published: list[Seen]) -> None:
        #: PostgreSQL acknowledged them, and has them no more
        self.forgotten = traffic.acknowledged - table
        #: Kafka has them, and the table does not
        self.ghosts = set(published) - table
        #: of those, the ones that nobody can have committed
        self.invented = self.ghosts - traffic.tried
        self._verdict = judge(table, published)

    @property
    def verdict(self) -> Verdict:
        """Of the relay, about the rows that are there; repeats are allowed, ghosts are looked at apart."""
        return self._verdict._replace(repeated=0, ghosts=0)


def outcome(traffic: Traffic, url: str, topics: Topics, topic: str) -> Outcome:
    """Wait until the relay has done all rows of the table, and hold it against the topic."""
    with psycopg.connect(url, autocommit=True) as conn:
        eventually(lambda: conn.execute(_UNCOVERED).fetchone() == (0,), within=60)
        table = {Seen.of(id_, body) for id_, body in conn.execute("SELECT id, payload FROM txbox.outbox")}
    published = [Seen.of((raw.header("id") or b"").decode(), raw.value) for raw in topics.read(topic)]
    return Outcome(traffic, table, published)
