"""What people do about held messages: try them again, or never.

Each change is in `txbox.audit`, in the transaction that makes it. Nobody waits for a handler: a message that is being
tried just now is left as it is, and told. Nothing here calls a handler: the consumer's processes act within a second.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import orjson
from psycopg import Connection

from txbox.consumer.choosing import Choice, Choosing, Row, State, told
from txbox.daemon import person
from txbox.schema import Statements

__all__ = ["SETTINGS", "Mended", "Outcome", "Told", "discard", "retry", "write"]

#: a row that was changed a moment ago is looked at as it is now
SETTINGS: Final = {"default_transaction_isolation": "read committed"}

#: messages in one transaction, at most: their rows are locked for some milliseconds
_BATCH: Final = 100


class Mended(StrEnum):
    """What people may have done to messages."""

    #: due now, at attempt 0, whatever it is
    RETRY = "retry"
    #: never to be handled; those behind it go on
    DISCARD = "discard"


class Outcome(StrEnum):
    """What became of one message that was chosen."""

    #: due now, or gone; of a dry run: it would be
    DONE = "done"
    #: nothing to do: it is due, or has become so a moment ago
    DUE = "due already"
    #: it goes on when the one before it in its key is gone: mend that one
    FOLLOWS = "follows"
    #: somebody holds its row: a handler runs, or another person was faster
    BUSY = "being tried"
    #: it is not what was chosen any more: it was handled, discarded or changed meanwhile
    CHANGED = "changed meanwhile"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One message, and what became of it."""

    id: UUID
    consumer: str
    outcome: Outcome
    #: as `listing` has it, from before the change; empty for one that is busy or changed
    row: Row


def retry(
    conn: Connection[Any], choice: Choice, schema: str = "txbox", *, most: int = _BATCH, dry_run: bool = False
) -> Iterator[list[Told]]:
    """Let messages that were chosen be tried again at once, AND COMMIT each batch before it is yielded.

    Dead ones start at attempt 0, and so do those that wait for their next attempt. Ids stay, hence effects stay single.
    Between two batches nothing is open: stop there for as long as you like, or for good. Takes a connection in
    autocommit. Raises ValueError otherwise, and psycopg.Error: then this batch changed nothing.
    """
    return _mend(conn, Mended.RETRY, choice, schema, most, dry_run)


def discard(
    conn: Connection[Any], choice: Choice, schema: str = "txbox", *, most: int = _BATCH, dry_run: bool = False
) -> Iterator[list[Told]]:
    """Give up messages that were chosen, AND COMMIT each batch before it is yielded.

    By ids, whatever they wait for. Otherwise only dead ones, unless the choice names the state `waiting`. For the rest
    as `retry`.
    """
    if choice.ids is None and choice.state is None:
        choice = replace(choice, state=State.DEAD)
    return _mend(conn, Mended.DISCARD, choice, schema, most, dry_run)


def _mend(
    conn: Connection[Any], what: Mended, choice: Choice, schema: str, most: int, dry_run: bool
) -> Iterator[list[Told]]:
    """Do it batch by batch, to those that were chosen when it began."""
    if not conn.autocommit:
        raise ValueError(f"{what} commits each batch: call it on a connection in autocommit")
    choosing = Choosing(conn, schema)
    # Behind a message there may be 10,000 of its key: a retry of whatever was chosen is none of theirs.
    followers = what is Mended.DISCARD or choice.ids is not None
    for consumer, ids in choosing.find(choice, followers=followers).items():
        for start in range(0, len(ids), most):
            some = ids[start : start + most]
            with conn.transaction():
                told = _look(choosing, what, choice, consumer, some)
                wanted = [one.id for one in told if one.outcome is Outcome.DONE]
                if wanted and not dry_run:
                    write(conn, schema, what, consumer, wanted, note={"chosen_by": _chosen_by(choice)})
            yield told


def write(
    conn: Connection[Any],
    schema: str,
    what: str,
    consumer: str,
    ids: Sequence[UUID],
    *,
    note: Mapping[str, object],
    **columns: object,
) -> None:
    """Change rows that are locked, in the transaction that is open, and note in the audit who did."""
    statements = Statements(__package__, "mending.sql", schema)
    conn.execute(statements[what], {"consumer": consumer, "ids": list(ids), **columns})
    noted = orjson.dumps({"consumer": consumer, **note, "messages": ids}, default=str).decode()
    conn.execute(statements["note"], {"who": person(), "command": f"held {what}", "what": noted})


def _look(choosing: Choosing, what: Mended, choice: Choice, consumer: str, ids: list[UUID]) -> list[Told]:
    """Lock a batch, and say what is to become of each."""
    locked = choosing.lock(choice.of(consumer, tuple(ids)))
    # Read once they are locked, in a statement of its own: as they are now, whoever changed them until then.
    rows = choosing.read(consumer, locked)
    others = tuple(id_ for id_ in ids if id_ not in rows)
    busy = choosing.find(choice.of(consumer, others)).get(consumer, []) if others else []
    told_ = []
    for id_ in ids:
        if id_ in rows:
            told_.append(Told(id=id_, consumer=consumer, outcome=_outcome(what, rows[id_]), row=told(rows[id_])))
        else:
            outcome = Outcome.BUSY if id_ in busy else Outcome.CHANGED
            told_.append(Told(id=id_, consumer=consumer, outcome=outcome, row={}))
    return told_


def _outcome(what: Mended, row: Row) -> Outcome:
    """Return what is to become of a message that is locked. Pure."""
    if what is Mended.DISCARD or row["retriable"]:
        return Outcome.DONE
    return Outcome.FOLLOWS if row["head"] else Outcome.DUE


def _chosen_by(choice: Choice) -> dict[str, object]:
    """Return what of a choice was given, for the audit. Ids are there anyway."""
    return {
        name: value for name, value in asdict(choice).items() if value is not None and name not in ("ids", "consumer")
    }
