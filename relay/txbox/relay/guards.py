"""What must be so before a relay reads a row: each condition has rows lost behind it."""

from dataclasses import dataclass

from psycopg import sql

from txbox.relay.errors import (
    CursorAhead,
    HiddenRows,
    InRecovery,
    SharedSession,
    UnfitSequence,
    WrongCluster,
)

__all__ = ["Facts", "Stored", "check", "require_fit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The database as it is now. Fields are the columns of `facts` in ledger.sql."""

    in_recovery: bool
    system_identifier: str
    timeline: int | None
    sequence_oid: int
    sequence_filenode: int
    cache: int
    increment: int
    cycles: bool
    permanent: bool
    subscribed: bool
    #: a partition that somebody began to detach, and did not come to the end
    detaching: str | None
    last_value: int
    backend: int
    sequence: str
    role: str
    #: whether the role may ask for the sequence's last value
    reads_sequence: bool
    #: the first of the relay's tables that has row security in force for the role
    secured: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The cursor's row as the last leader left it."""

    tail: int
    system_identifier: str | None
    timeline: int | None
    sequence_oid: int | None
    sequence_filenode: int | None


def require_fit(facts: Facts, backend: int, schema: str = "txbox") -> None:
    """Return if a relay may rely on this database. `backend` is the pid that a second statement met.

    Raises SharedSession, InRecovery, HiddenRows, UnfitSequence. Each message has the mend.
    """
    if facts.backend != backend:
        raise SharedSession
    if facts.in_recovery:
        raise InRecovery
    _check_role(facts)
    _check_sequence(facts, sql.Identifier(schema, "outbox").as_string(None))


def check(name: str, facts: Facts, stored: Stored | None, schema: str = "txbox") -> None:
    """Return if the cursor that is stored is this database's, and behind its rows.

    Raises WrongCluster, CursorAhead, UnfitSequence. Each message has the mend.
    """
    if stored is None:
        return
    if stored.system_identifier not in (None, facts.system_identifier):
        raise WrongCluster(name, str(stored.system_identifier), facts.system_identifier)
    if facts.last_value < stored.tail:
        outbox = sql.Literal(sql.Identifier(schema, "outbox").as_string(None)).as_string(None)
        raise CursorAhead(name, stored.tail, facts.last_value, outbox)
    # TRUNCATE ... RESTART IDENTITY gives the sequence a new file: it may have overtaken the tail again since.
    if stored.sequence_oid is not None and (
        (stored.sequence_oid, stored.sequence_filenode) != (facts.sequence_oid, facts.sequence_filenode)
    ):
        table, literal = sql.Identifier(schema, "relay_cursor").as_string(None), sql.Literal(name).as_string(None)
        raise UnfitSequence(
            "the outbox's sequence was altered, restarted or made anew since the cursor was saved: if it began "
            "again, rows have some that count as published",
            f"if they did not, UPDATE {table} SET sequence_oid = NULL WHERE name = {literal}; else publish "  # noqa: S608  # told, not run
            f"all rows that the outbox holds once more, DELETE FROM {table} WHERE name = {literal}",
        )


def _check_role(facts: Facts) -> None:
    """Raise HiddenRows unless the role sees every row, and how far the sequence is."""
    if facts.secured is not None:
        raise HiddenRows(
            facts.role,
            f"is subject to row-level security on {facts.secured}",
            f'ALTER ROLE "{facts.role}" BYPASSRLS, or ALTER TABLE {facts.secured} DISABLE ROW LEVEL SECURITY',
        )
    if not facts.reads_sequence:
        raise HiddenRows(
            facts.role,
            "may not read the outbox's sequence",
            f'GRANT SELECT ON SEQUENCE {facts.sequence} TO "{facts.role}"',
        )


def _check_sequence(facts: Facts, outbox: str) -> None:
    """Raise UnfitSequence unless seqs rise by one, are drawn under the lock, and survive a crash."""
    alter = f"ALTER TABLE {outbox} ALTER COLUMN seq SET"
    if facts.cache != 1:
        raise UnfitSequence(
            f"the outbox's sequence has CACHE {facts.cache}: a session would use seqs that it drew long ago",
            f"{alter} CACHE 1",
        )
    if facts.increment != 1 or facts.cycles:
        raise UnfitSequence("the outbox's sequence does not rise by one for ever", f"{alter} INCREMENT 1 SET NO CYCLE")
    if not facts.permanent:
        raise UnfitSequence(
            "the outbox, a partition or the sequence is unlogged or temporary: a crash would empty it, not the cursor",
            f"ALTER TABLE {outbox} SET LOGGED",
        )
    if facts.detaching:
        raise UnfitSequence(
            f"partition {facts.detaching} is half detached: nobody sees its rows, which would be taken for rolled back",
            f"ALTER TABLE {outbox} DETACH PARTITION {facts.detaching} FINALIZE, and attach it again if a relay has "
            "not published all of it",
        )
    if facts.subscribed:
        raise UnfitSequence(
            "the outbox is the target of a subscription: rows arrive without drawing a seq here",
            "take it out of the publication, and run the relay where the rows are written",
        )
