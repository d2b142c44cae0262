"""The connection that handlers get: it refuses what would end the transaction that is not theirs.

A raw COMMIT in a handler would commit the ids of a whole batch, those of messages not yet handled among them, and
nobody would notice: psycopg's own guard knows only its methods. So each statement is looked at while handlers run.
What gets past (a function of the driver that this does not know) is found by the savepoint around all handlers, which
no other transaction has.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final, Self

from psycopg import Cursor
from psycopg.abc import Query
from psycopg.sql import Composable

from txbox.consumer.errors import TransactionControl
from txbox.daemon import Link

__all__ = ["GuardedConnection", "GuardedCursor", "refusal"]

# What a statement may begin with or contain without its semicolons and words counting as SQL.
_TOKEN: Final = re.compile(
    r"""
      --[^\n]*
    | /\*
    | (?P<tag>\$(?:[A-Za-z_\x80-\uffff][\w\x80-\uffff]*)?\$).*?(?:(?P=tag)|\Z)
    | [eE]'(?:[^'\\]|\\.|'')*(?:'|\Z)
    | '(?:[^']|'')*(?:'|\Z)
    | "(?:[^"]|"")*(?:"|\Z)
    | ;
    | [A-Za-z_\x80-\uffff][\w$\x80-\uffff]*
    | .
    """,
    re.VERBOSE | re.DOTALL,
)
_WORD: Final = re.compile(r"[A-Za-z_]\w*")

_ENDS: Final = frozenset({"COMMIT", "END", "ABORT", "DISCARD"})


@lru_cache(maxsize=512)  # a handler says the same few things over and over, and reading them costs as much as a metric
def refusal(query: str) -> str | None:
    """Return which statement in `query` would end the transaction, None if none does."""
    for words in _statements(query):
        first, second, *_ = (*words, "", "")
        if first in _ENDS:
            return first
        if first == "ROLLBACK" and "TO" not in words[1:3]:  # ROLLBACK [WORK | TRANSACTION] TO [SAVEPOINT] s
            return "ROLLBACK"
        if first == "PREPARE" and second == "TRANSACTION":
            return "PREPARE TRANSACTION"
    return None


def _statements(query: str) -> Iterator[list[str]]:
    """Yield the first three words of each statement, in upper case."""
    words: list[str] = []
    position = 0
    while match := _TOKEN.match(query, position):
        found, position = match[0], match.end()
        if found == "/*":
            position = _end_of_comment(query, position)
        elif found == ";":
            yield words
            words = []
        elif len(words) < 3 and _WORD.fullmatch(found):
            words.append(found.upper())
    yield words


def _end_of_comment(query: str, position: int) -> int:
    """Return where a block comment ends; PostgreSQL's nest."""
    depth = 1
    for match in re.compile(r"/\*|\*/").finditer(query, position):
        depth += 1 if match[0] == "/*" else -1
        if depth == 0:
            return match.end()
    return len(query)


class GuardedCursor(Cursor[Any]):
    """Looks at each statement, while its connection is guarded."""

    def execute(self, query: Query, *args: Any, **kwargs: Any) -> Self:
        self._look_at(query)
        return super().execute(query, *args, **kwargs)

    def executemany(self, query: Query, *args: Any, **kwargs: Any) -> None:
        self._look_at(query)
        super().executemany(query, *args, **kwargs)

    def stream(self, query: Query, *args: Any, **kwargs: Any) -> Iterator[Any]:
        self._look_at(query)
        return super().stream(query, *args, **kwargs)

    def copy(self, statement: Query, *args: Any, **kwargs: Any) -> Any:
        self._look_at(statement)
        return super().copy(statement, *args, **kwargs)

    def _look_at(self, query: Query) -> None:
        if not isinstance(self.connection, GuardedConnection) or not self.connection.guarded:
            return
        text = query.as_string(self) if isinstance(query, Composable) else query
        text = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
        if refused := refusal(text):
            raise TransactionControl(refused)


class GuardedConnection(Link[Any]):
    """A connection that, inside `guarding`, lets nobody end the transaction."""

    guarded = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cursor_factory = GuardedCursor

    @property
    def depth(self) -> int:
        """How many blocks of `transaction()` are open."""
        return self._num_transactions

    def abandon(self, depth: int) -> None:
        """Close, because of a block that was not left; those around it, `depth` of them, end as usual.

        With the block still counted psycopg would end none of them, the outermost included: no COMMIT would ever come.
        """
        self._num_transactions = depth
        self.pgconn.finish()

    @contextmanager
    def guarding(self) -> Iterator[Self]:
        """Refuse what would end the transaction for as long as the block lasts."""
        self.guarded = True
        try:
            yield self
        finally:
            self.guarded = False

    def commit(self) -> None:
        """Commit, if no handler runs."""
        self._refuse("conn.commit()")
        super().commit()

    def rollback(self) -> None:
        """Roll back, if no handler runs."""
        self._refuse("conn.rollback()")
        super().rollback()

    def close(self) -> None:
        """Close, if no handler runs."""
        self._refuse("conn.close()")
        super().close()

    def set_autocommit(self, value: bool) -> None:
        """Set autocommit, if no handler runs."""
        self._refuse("conn.autocommit")
        super().set_autocommit(value)

    def tpc_prepare(self) -> None:
        """Prepare the transaction, if no handler runs."""
        self._refuse("conn.tpc_prepare()")
        super().tpc_prepare()

    def _refuse(self, what: str) -> None:
        if self.guarded:
            raise TransactionControl(what)
