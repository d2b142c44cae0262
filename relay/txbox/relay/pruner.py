"""The leader's pruning: a thread and a session of its own, so that no read or save ever waits for a batch."""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any, Final

import psycopg

from txbox.daemon import Backoff, Database, Link, connect
from txbox.relay.parts import Parts
from txbox.relay.prune import SETTINGS, Stride, Sweep, pause
from txbox.schema import SchemaBusy, SchemaError, layout, next_step, partition

__all__ = ["Pruner", "pruning"]

#: seconds between walks; less where the retention itself is short
_REST: Final = 10.0
#: seconds to wait for a statement to be broken off
_PATIENCE: Final = 2.0
#: seconds in which partitions try for their lock
_TRIES: Final = 5.0
#: waits after partitions could not be made or dropped
_BUSY: Final = Backoff(first=2.0, cap=300.0)

_log = logging.getLogger(__name__)


class Pruner:
    """Deletes what is older than `retention` seconds for as long as it runs; `pruned` is told how many, each time."""

    def __init__(self, database: Database, name: str, retention: float, pruned: Callable[[int], None]) -> None:
        self._database, self._name = database, name
        self._retention, self._pruned = retention, pruned
        self._rest = min(_REST, max(retention / 10, 0.1))
        self._backoff = Backoff(first=1.0, cap=60.0)
        self._failures = 0
        self._stopped = threading.Event()
        self._conn: Link[Any] | None = None
        self._clock = time.monotonic
        self._turn_due, self._refusals = 0.0, 0

    def run(self) -> None:
        """Prune until stopped. An error is logged and waited out: publishing does not depend on this."""
        while not self._stopped.is_set():
            try:
                with closing(self._connect()) as self._conn:
                    self._tend(self._conn)
            except psycopg.Error as error:
                if not self._stopped.is_set():
                    self._survive(error)
            finally:
                self._conn = None

    def stop(self) -> None:
        """Ask `run` to end, and break off the batch that is under way. From any thread."""
        self._stopped.set()
        conn = self._conn
        if conn is not None and not conn.closed:
            try:
                conn.cancel_safe(timeout=_PATIENCE)
            except psycopg.Error:  # a server that cannot be reached runs nothing for us
                _log.debug("the pruning's statement could not be cancelled", exc_info=True)

    def _connect(self) -> Link[Any]:
        return connect(Link[Any], self._database, f"prune {self._name}", SETTINGS)

    def _tend(self, conn: Link[Any]) -> None:
        """Walk over the old rows, again and again; drop old partitions, and make new ones.

        A new session begins at the first row: it may be another server.
        """
        sweep = Sweep(conn, self._database.schema, self._retention)
        parts = Parts(conn, self._database.schema, self._retention)
        stride = Stride(start=layout(conn, self._database.schema).loose_from)
        while not self._stopped.is_set():
            found, took = sweep.batch(stride)
            self._failures = 0
            self._pruned(found.deleted)
            stride = stride.after(found, took)
            if not stride.done:
                self._stopped.wait(pause(took))
                continue
            self._turn(conn, parts)
            stride = replace(stride, start=max(stride.start, layout(conn, self._database.schema).loose_from))
            self._stopped.wait(max(self._rest, pause(took)))

    def _turn(self, conn: Link[Any], parts: Parts) -> None:
        """Make partitions ahead and drop those that are old; never in the way of writers for longer than an instant."""
        now = layout(conn, self._database.schema)
        if now.parts is None or now.wrapped or self._clock() < self._turn_due:
            return
        try:
            if next_step(now):
                self._grow(conn)
            for part, rows in parts.ripe(lambda took: self._stopped.wait(pause(took))):
                if not self._stopped.is_set():
                    self._pruned(parts.drop(part, patience=_TRIES, sleep=self._sleep))
                    _log.info("partition dropped", extra={"partition": part.name, "rows": rows})
            self._refusals = 0
        except (SchemaError, psycopg.Error) as error:
            if isinstance(error, psycopg.Error) and (conn.closed or self._stopped.is_set()):
                raise
            # Each try holds writers up, for less than a second: less and less often, then. Whatever is in the way,
            # somebody's lock, a right that is missing or a view on a partition, rows are pruned meanwhile.
            self._refusals += 1
            delay = _BUSY.delay(self._refusals)
            self._turn_due = self._clock() + delay
            level = logging.INFO if isinstance(error, SchemaBusy) else logging.WARNING
            why = str(error).strip() or type(error).__name__
            _log.log(level, "partitions wait for their turn", extra={"why": why, "in_seconds": round(delay, 2)})

    def _grow(self, conn: Link[Any]) -> None:
        """Make partitions ahead."""
        patience, conn.patience = conn.patience, math.inf  # to close the last one reads all of it, without a word
        try:
            steps = partition(conn, self._database.schema, patience=_TRIES, sleep=self._sleep)
        finally:
            conn.patience = patience
        _log.info("partitions made", extra={"steps": ", ".join(steps)})

    def _sleep(self, seconds: float) -> None:
        """Wait between tries for a lock; a stop ends them."""
        if self._stopped.wait(seconds):
            raise psycopg.errors.QueryCanceled("pruning was stopped")

    def _survive(self, error: psycopg.Error) -> None:
        self._failures += 1
        delay = self._backoff.delay(self._failures)
        why = str(error).strip() or type(error).__name__
        _log.warning("pruning again later", extra={"why": why, "in_seconds": round(delay, 2)})
        self._stopped.wait(delay)


@contextmanager
def pruning(database: Database, name: str, retention: float, pruned: Callable[[int], None]) -> Iterator[None]:
    """Prune for as long as the block lasts; a retention of 0 keeps everything."""
    if not retention:
        yield
        return
    pruner = Pruner(database, name, retention, pruned)
    # A daemon: a process that is told to end does not wait for a session whose server has vanished.
    thread = threading.Thread(target=pruner.run, name=f"txbox prune {name}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        pruner.stop()
        thread.join(_PATIENCE)
