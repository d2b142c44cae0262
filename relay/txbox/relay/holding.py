"""The table of held rows, on the leader's session: only the leader of the epoch writes there, but for wishes."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import starmap
from typing import Any, Final

from psycopg.rows import scalar_row, tuple_row

from txbox.relay.batch import Diverted, Row
from txbox.relay.cursor import Cursor
from txbox.relay.held import Key, keys_of
from txbox.relay.ledger import Ledger
from txbox.schema import Statements

__all__ = ["Holding"]

#: rows that are tried at once, and their bytes: more than come behind them meanwhile, or their key would never be free
_MESSAGES: Final = 5_000
_SIZE: Final = 32_000_000


class Holding:
    """What is held for one relay. Made when the lead was taken, and true for as long as it is kept."""

    def __init__(self, ledger: Ledger, schema: str) -> None:
        self._ledger = ledger
        self._statements = Statements(__package__, "held.sql", schema)
        found = self._rows("keys")
        #: keys of which a row is held, or is about to be: their next rows go behind it
        self.keys: set[Key] = {(topic, key) for topic, key, _ in found if key is not None}
        #: rows that are held
        self.count = sum(count for _, _, count in found)

    def save(self, cursor: Cursor, rows: Sequence[Diverted]) -> None:
        """Hold rows and COMMIT them together with the cursor that passes them. Raises Superseded."""
        with self._ledger.mine():
            added = self._run(
                "keep",
                seqs=[row.seq for row in rows],
                topics=[row.topic for row in rows],
                reasons=[row.reason for row in rows],
                errors=[row.error for row in rows],
            )
            # A row that came late may stand before the refused one: writers that lock no key have no order.
            self._pass_on(keys_of(rows))
            self._ledger.save(cursor)
        self.count += added

    def wished(self) -> bool:
        """Return whether there is something to do about held rows. Cheap, however many there are."""
        with self._ledger.conn.cursor(row_factory=scalar_row) as cursor:
            return bool(cursor.execute(self._statements["wished"], {"name": self._ledger.name}).fetchone())

    def skip(self) -> int:
        """Delete and COMMIT the rows that people wish to skip; return how many. Raises Superseded."""
        with self._ledger.mine():
            gone = self._rows("skip")
            free = self._settle_keys({(topic, key) for topic, key in gone if key is not None})
        self._left(len(gone), free)
        return len(gone)

    def due(self) -> list[Row]:
        """Return rows to try now, in order. Of a key that was refused the first alone, else those behind it too."""
        return list(starmap(Row, self._rows("due", messages=_MESSAGES, size=_SIZE)))

    def tried(self, delivered: Sequence[Row], refused: Mapping[int, str]) -> None:
        """Delete rows that were acked, keep those refused again with why (by seq), and COMMIT. Raises Superseded."""
        with self._ledger.mine():
            gone = self._run("delivered", seqs=[row.seq for row in delivered])
            self._run("refused", seqs=list(refused), errors=list(refused.values()))
            free = self._settle_keys(keys_of(delivered))
        self._left(gone, free)

    def _settle_keys(self, keys: Iterable[Key]) -> set[Key]:
        """Make those due that stood behind rows that left; return the keys of which nothing is held any more."""
        keys = set(keys)
        self._pass_on(keys)
        return set(self._rows("free", **_columns(keys)))

    def _pass_on(self, keys: set[Key]) -> None:
        self._run("pass_on", **_columns(keys))

    def _left(self, count: int, free: set[Key]) -> None:
        """Note what left, once that is durable."""
        self.count -= count
        self.keys -= free

    def _run(self, statement: str, **parameters: object) -> int:
        parameters["name"] = self._ledger.name
        return self._ledger.conn.execute(self._statements[statement], parameters).rowcount

    def _rows(self, statement: str, **parameters: object) -> list[tuple[Any, ...]]:
        with self._ledger.conn.cursor(row_factory=tuple_row) as cursor:
            return cursor.execute(self._statements[statement], {"name": self._ledger.name, **parameters}).fetchall()


def _columns(keys: Iterable[Key]) -> dict[str, list[str]]:
    """Return keys as two arrays."""
    ordered = sorted(keys)
    return {"topics": [topic for topic, _ in ordered], "keys": [key for _, key in ordered]}
