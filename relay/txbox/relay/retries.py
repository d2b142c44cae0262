"""What the leader does about people's wishes: rows that are held are tried again, or dropped."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from confluent_kafka import KafkaError

from txbox.daemon import Meaning, failpoint, meaning
from txbox.relay.batch import Row
from txbox.relay.errors import PublisherLost
from txbox.relay.held import undisturbed
from txbox.relay.holding import Holding
from txbox.relay.publisher import Publisher

__all__ = ["Retries"]

#: seconds between looks for wishes
_LOOK_EVERY: Final = 1.0

_log = logging.getLogger(__name__)


class Retries:
    """Grants wishes, some at a time, while nothing else is under way.

    So every row that went behind a held one is in the table, and the last one to leave it frees its key for good: a
    key to which many rows come would otherwise be held for ever.
    """

    def __init__(self, holding: Holding, publisher: Publisher, clock: Callable[[], float] = time.monotonic) -> None:
        self._holding, self._publisher, self._clock = holding, publisher, clock
        self._next_look = 0.0

    def due(self) -> bool:
        """Return whether there is something to do; looks about once a second."""
        if self._clock() < self._next_look:
            return False
        wished = self._holding.wished()
        # While there is more to do it is done at once, in turns with what is new.
        self._next_look = 0.0 if wished else self._clock() + _LOOK_EVERY
        return wished

    def attend(self, wait: Callable[[], bool]) -> list[Row]:
        """Drop what is to be skipped, try what is due, and return what was acked while `wait` said to wait for it.

        A row is deleted after its ack: a crash may repeat it, in order. One that got another answer, whichever, stays
        first of its key with that for its error: nobody else waits for it. Raises AccessDenied, PublisherLost,
        Superseded, KafkaException, psycopg.Error.
        """
        if skipped := self._holding.skip():
            _log.info("held messages skipped", extra={"messages": skipped})
        rows = self._holding.due()
        if not rows:
            return []
        refused = self._publisher.examine(rows)
        acked = self._try(undisturbed(rows, _of(rows, refused)), refused, wait)
        if acked:
            failpoint("relay.retried")
        self._holding.tried(acked, refused)
        failpoint("relay.released")
        _log.info("held messages tried", extra={"delivered": len(acked), "refused": len(refused)})
        if len(acked) + len(refused) < len(rows) and not wait():
            raise PublisherLost("held messages were sent and not answered")
        return acked

    def _try(self, rows: Sequence[Row], refused: dict[int, str], wait: Callable[[], bool]) -> list[Row]:
        """Send rows and return those that were acked; note in `refused` those that Kafka does not take.

        Kafka refuses a record batch as a whole. So those that it refused together for what they are are tried again
        one by one, and nothing of a key after its first that is refused so.
        """
        answers = self._publisher.deliver(rows, wait)
        acked = [row for row in rows if _is_acked(answers, row)]
        for row in rows:
            error = answers.get(row.seq)
            if error is None or not undisturbed([row], _of(rows, refused)):
                continue
            if len(rows) == 1 or meaning(error) is not Meaning.POISON:
                refused[row.seq] = error.str()
            elif wait():
                acked += self._try([row], refused, wait)
        return acked


def _is_acked(answers: dict[int, KafkaError | None], row: Row) -> bool:
    """Return whether Kafka has the row. Raises PublisherLost if there is no producer any more to send it with."""
    error = answers.get(row.seq)
    if error is not None and meaning(error) is Meaning.FATAL:
        raise PublisherLost(error.str())
    return row.seq in answers and error is None


def _of(rows: Sequence[Row], refused: dict[int, str]) -> list[Row]:
    return [row for row in rows if row.seq in refused]
