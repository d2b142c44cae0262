"""What passes from a source to the publisher."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from operator import itemgetter
from typing import NamedTuple, Protocol

from txbox.relay.cursor import Cursor, Frontier
from txbox.relay.errors import RelayError

__all__ = [
    "CREATED",
    "ID",
    "KEY",
    "SEQ",
    "SIZE",
    "TOPIC",
    "Admit",
    "Batch",
    "Diverted",
    "Plan",
    "Reason",
    "Room",
    "Row",
    "Source",
]


class Row(NamedTuple):
    """An outbox row, as the publisher needs it. A tuple, since there are a hundred thousand a second."""

    seq: int
    #: the row's own, or made of its aggregate
    topic: str
    key: str | None
    id: str
    type: str
    payload: bytes | None
    #: JSON text
    headers: str | None
    #: milliseconds since 1970
    created: int
    #: bytes of payload, key and headers together
    size: int
    #: what the statement saw that read it; in its first row alone
    snapshot: str | None = None


#: A column of many rows, for `map`: in C alone, where a comprehension would take as long as all else that is done.
SEQ, TOPIC, KEY, ID, _, _, _, CREATED, SIZE, _ = map(itemgetter, range(len(Row._fields)))


class Reason(StrEnum):
    """Why a row is held. The column `reason` of outbox_held has these."""

    #: Kafka does not take it
    REFUSED = "refused"
    #: a row before it, of its key, is held
    FOLLOWS = "follows"


class Diverted(NamedTuple):
    """A row that is to be held instead of sent. Without its payload: that is copied from the outbox."""

    seq: int
    topic: str
    key: str | None
    reason: Reason
    error: str | None = None


class Room(NamedTuple):
    """How much the publisher can take."""

    messages: int
    #: bytes of payloads, keys and headers
    size: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows in the order in which they are to be published, and where the cursor stands after them."""

    rows: Sequence[Row]
    #: holds once these rows, and all before them, are acked
    frontier: Frontier
    #: whether there may be more to read at once
    more: bool
    #: rows to be held; the cursor passes them, so they are written with it
    hold: Sequence[Diverted] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of rows that were read: the first `taken` of them are sent or held, the others are read again."""

    send: Sequence[Row] = ()
    hold: Sequence[Diverted] = ()
    taken: int = 0
    #: why the row after those taken may not be sent; None if it only has to wait
    obstacle: RelayError | None = None


#: what may become of rows now; raises if nothing ever may of the first
Admit = Callable[[Sequence[Row]], Plan]


class Source(Protocol):
    """Where rows come from. One connection, hence one life: after an error a new source is made."""

    def start(self, cursor: Cursor) -> None:
        """Begin after a saved cursor."""

    def read(self, room: Room) -> Batch:
        """Return the next rows, within `room` (one row may exceed its size); empty when nothing is new."""

    def saved(self, cursor: Cursor) -> None:
        """Note that the cursor is durable."""

    def close(self) -> None:
        """Let go of what the source holds."""
