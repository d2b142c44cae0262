"""Records as a broker hands them over."""

from itertools import count
from uuid import UUID, uuid4

from txbox.consumer.received import Record

__all__ = ["record"]

_offsets = count()
_NEW = ""  # stands for a new id


def record(
    type_: str | bytes | None = "T",
    value: bytes | None = b"{}",
    *headers: tuple[str, bytes | None],
    id: UUID | str | bytes | None = _NEW,  # noqa: A002  # the header's name
    key: bytes | None = None,
    partition: int = 0,
    offset: int | None = None,
    timestamp: int | None = 1_700_000_000_000,
) -> Record:
    """A message of one type; what is None is not there."""
    own: list[tuple[str, bytes | None]] = []
    if id is not None:
        own.append(("id", id if isinstance(id, bytes) else str(uuid4() if id is _NEW else id).encode()))
    if type_ is not None:
        own.append(("type", type_ if isinstance(type_, bytes) else type_.encode()))
    return Record(
        "orders", partition, next(_offsets) if offset is None else offset, timestamp, key, value, [*own, *headers]
    )
