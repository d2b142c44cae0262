"""Which rows go, and which are put aside so that the others may: pure decisions.

Where `relay.on_undeliverable` is `hold`, a row that Kafka refuses is held, and so is every later row of its key: they
follow it. Rows of other keys flow. A row without a key has nobody behind it.

    refused   stays until a person wishes: a retry makes it due, a skip drops it
    follows   stays until nothing of its key stands before it: then it is due
    due       tried by the leader: gone once it was acked, refused if Kafka does not take it
"""

from collections.abc import Callable, Collection, Iterable, Sequence, Set

from txbox.relay.batch import Diverted, Plan, Reason, Row
from txbox.relay.errors import AccessDenied, TopicMissing, Undeliverable

__all__ = ["Key", "divide", "key_of", "keys_of", "undisturbed"]

#: what has an order: rows of one key in one topic
Key = tuple[str, str]


def divide(
    rows: Sequence[Row],
    *,
    held: Set[Key],
    obstacle: Callable[[Row], Undeliverable | TopicMissing | AccessDenied | None],
    suspects: Collection[str] = (),
    idle: bool = True,
    holds: bool = True,
) -> Plan:
    """Decide about rows, in their order.

    Rows of a key that is `held`, or becomes so here, are held; the first refused one ends the plan unless the policy
    `holds`. A topic that is missing or denied ends it always: that is no row's fault. A suspect, a row's id or its
    topic, goes alone, and only while nothing is under way (`idle`): a refusal of Kafka's can only mean it, and repeats
    nothing else.
    """
    send: list[Row] = []
    hold: list[Diverted] = []
    keys: set[Key] = set()
    for n, row in enumerate(rows):
        key = key_of(row.topic, row.key)
        if key is not None and (key in held or key in keys):
            hold.append(Diverted(row.seq, row.topic, row.key, Reason.FOLLOWS))
            continue
        found = obstacle(row)
        if isinstance(found, Undeliverable) and holds:
            hold.append(Diverted(row.seq, row.topic, row.key, Reason.REFUSED, found.why))
            keys |= {key} if key else set()
        elif found is not None:
            return Plan(send, hold, n, found)
        elif row.id in suspects or row.topic in suspects:
            return Plan([row], (), 1) if n == 0 and idle else Plan(send, hold, n)
        else:
            send.append(row)
    return Plan(send, hold, len(rows))


def undisturbed(rows: Iterable[Row], refused: Iterable[Row]) -> list[Row]:
    """Return the rows without those that have a refused row of their key before them, or are refused themselves."""
    since = {key_of(row.topic, row.key) or row.seq: row.seq for row in sorted(refused, reverse=True)}
    return [row for row in rows if row.seq < since.get(key_of(row.topic, row.key) or row.seq, row.seq + 1)]


def key_of(topic: str, key: str | None) -> Key | None:
    """Return what a row stands in line with; None for a row without a key."""
    return None if key is None else (topic, key)


def keys_of(rows: Iterable[Diverted | Row]) -> set[Key]:
    """Return the keys of rows."""
    return {(row.topic, row.key) for row in rows if row.key is not None}
