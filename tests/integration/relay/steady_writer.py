"""A writer whose transactions are short, and which notes the longest: python -m .. DATABASE TOPIC KIND, until SIGTERM.

An error ends it, so that its exit code tells of any. KIND is what it does in a transaction: one message, many at once,
a statement that it prepared once and for all, or a seq that it draws before it inserts.
"""

import json
import os
import sys
import time
from random import Random
from typing import Any, Final

import psycopg

from txbox.daemon import Stop
from txbox.outbox import Message, Outbox

__all__ = ["KINDS"]

KINDS: Final = ("single", "many", "prepared", "drawn")
#: first of the keys of each kind; the hostile writers have those below 50
_KEYS: Final = {kind: 100 * number + 100 for number, kind in enumerate(KINDS)}

_NEXT: Final = "SELECT coalesce(max(n), 0) + 1 FROM stress_journal WHERE key = %s"
_NOTE: Final = "INSERT INTO stress_journal VALUES (%s, %s, %s, %s)"
_INSERT: Final = """
INSERT INTO txbox.outbox (topic, aggregateid, type, payload) VALUES (%s, %s, 'Steady', %s) RETURNING id
"""
_DRAW: Final = "SELECT nextval(pg_get_serial_sequence('txbox.outbox', 'seq'))"
_INSERT_DRAWN: Final = """
INSERT INTO txbox.outbox (seq, topic, aggregateid, type, payload) OVERRIDING SYSTEM VALUE
VALUES (%s, %s, %s, 'Steady', %s) RETURNING id
"""


class Writer:
    """Writes messages of numbered keys, which it locks first."""

    def __init__(self, conn: psycopg.Connection[Any], topic: str, kind: str) -> None:
        self._conn, self._topic, self._kind = conn, topic, kind
        self._random = Random(kind)
        self.transactions, self.refused, self.longest = 0, 0, 0.0

    def transaction(self) -> None:
        began = time.monotonic()
        with self._conn.transaction(force_rollback=self._random.random() < 0.1):
            key = _KEYS[self._kind] + self._random.randrange(5)
            self._conn.execute("SELECT FROM stress_key WHERE key = %s FOR UPDATE", [key])
            [first] = self._conn.execute(_NEXT, [key]).fetchone() or (1,)
            bodies = [{"key": key, "n": first + n} for n in range(20 if self._kind == "many" else 1)]
            for id_, body in zip(self._write(bodies), bodies, strict=True):
                self._conn.execute(_NOTE, [id_, key, body["n"], os.getpid()])
        self.transactions += 1
        self.longest = max(self.longest, time.monotonic() - began)

    def _write(self, bodies: list[dict[str, int]]) -> list[Any]:
        [body, *_] = bodies
        payload = json.dumps(body).encode()
        match self._kind:
            case "prepared":
                values: list[Any] = [self._topic, str(body["key"]), payload]
                return [*(self._conn.execute(_INSERT, values, prepare=True).fetchone() or ())]
            case "drawn":
                drawn = self._conn.execute(_DRAW, prepare=True).fetchone() or ()
                values = [*drawn, self._topic, str(body["key"]), payload]
                return [*(self._conn.execute(_INSERT_DRAWN, values, prepare=True).fetchone() or ())]
        messages = [Message("Steady", each, topic=self._topic, key=each["key"]) for each in bodies]
        return Outbox().add_many(self._conn, messages)


def main(url: str, topic: str, kind: str) -> None:
    stop = Stop()
    with stop.on_signals(), psycopg.connect(url, autocommit=True) as conn:
        writer = Writer(conn, topic, kind)
        while not stop.requested:
            try:
                writer.transaction()
            except psycopg.errors.InternalError_:  # who is about to draw when the sequence is made anew: docs say so
                writer.refused += 1
                if kind != "drawn" or writer.refused > 1:
                    raise
    told = {"kind": kind, "transactions": writer.transactions, "refused": writer.refused}
    print(json.dumps({**told, "longest": round(writer.longest, 3)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
