"""What passes from a source to the publisher."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from txbox.relay.cursor import Cursor, Frontier

__all__ = ["Admit", "Batch", "Room", "Row", "Source"]


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


#: how many of the rows, from the first on, may be published now; raises if the first may never be
Admit = Callable[[Sequence[Row]], int]


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
