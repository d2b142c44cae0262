"""One batch in one transaction: ids, effects, COMMIT."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from psycopg import Rollback
from psycopg.pq import TransactionStatus

from txbox.consumer.consumer import Handler, Plan, name_of
from txbox.consumer.errors import TransactionControl, TransactionLeft
from txbox.consumer.guard import GuardedConnection
from txbox.consumer.held import Held
from txbox.consumer.inbox import Inbox
from txbox.consumer.outcomes import Committed, Handled, Outcome, judge
from txbox.consumer.received import Received, Unreadable
from txbox.daemon import failpoint
from txbox.outbox import TransactionFailed

__all__ = ["settle"]


@dataclass(slots=True, kw_only=True)
class _Run:
    """What has happened so far in a batch's transaction."""

    clock: Callable[[], float]
    #: called after each handler: a batch may take long, and its process is not stuck
    beat: Callable[[], None]
    #: the message whose handler is running
    current: Received | None = None
    handled: list[Handled] = field(default_factory=list)
    duplicates: list[Received] = field(default_factory=list)
    #: names of the handlers that ran, in order
    ran: list[str] = field(default_factory=list)


def settle(
    conn: GuardedConnection,
    inbox: Inbox,
    held: Held,
    plan: Plan,
    *,
    beat: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Take the batch's ids, run the handlers of those that are new, put aside what cannot be read, and COMMIT.

    All of it or nothing: after `Failed` the database is as before, and the batch may be settled again. Raises
    TransactionLeft when a handler ended the transaction: then what it committed cannot be told.
    """
    run = _Run(clock=clock, beat=beat)
    try:
        with conn.transaction():
            new = inbox.claim([*(message for _, message in plan.messages), *(bad for bad in plan.unreadable)])
            failpoint("consumer.handling")
            _handle(conn, plan, new, run)
            dead = _first_copies(plan, new)
            held.bury(dead)
            if dead:
                failpoint("consumer.holding")
            failpoint("consumer.handled")
    except TransactionLeft:
        raise
    except Exception as error:  # a handler may raise anything; `judge` says what it means
        return judge(error, run.current, disconnected=conn.closed or conn.broken)
    failpoint("consumer.committed")
    return Committed(handled=run.handled, duplicates=run.duplicates, dead=dead, skipped=plan.skipped)


def _handle(conn: GuardedConnection, plan: Plan, new: set[UUID], run: _Run) -> None:
    """Run the handlers within a savepoint, which is gone if one of them ended the transaction. Uses up `new`."""
    try:
        with conn.transaction(), conn.guarding():
            for handler, message in plan.messages:
                if message.id not in new:
                    run.duplicates.append(message)
                    continue
                new.discard(message.id)  # a second copy in this very batch is a duplicate
                run.current = message
                run.ran.append(name_of(handler))
                began = run.clock()
                _call(handler, conn, message)
                _check(conn, run)
                run.handled.append(Handled(message, run.clock() - began))
                run.beat()
            run.current = None
    except TransactionLeft:
        raise
    except Exception as error:
        if _is_left(conn):  # whatever else the handler raised: ids may be committed, trying again would pass over them
            raise TransactionLeft(run.ran) from error
        raise


def _call(handler: Handler, conn: GuardedConnection, message: Received) -> None:
    try:
        handler(conn, message)
    except Rollback as error:
        # psycopg would take it for the savepoint's own end, in silence: all effects undone, all ids committed.
        raise TransactionControl("psycopg.Rollback") from error


def _first_copies(plan: Plan, new: set[UUID]) -> list[Unreadable]:
    """Return what cannot be read and was not taken before, in this batch neither. Uses up `new`."""
    first: list[Unreadable] = []
    for bad in plan.unreadable:
        if bad.id in new:
            new.discard(bad.id)
            first.append(bad)
    return first


def _is_left(conn: GuardedConnection) -> bool:
    """Return whether the handlers' savepoint was not there to be left or rolled back to: what else would succeed."""
    return not conn.closed and conn.info.transaction_status is not TransactionStatus.INTRANS


def _check(conn: GuardedConnection, run: _Run) -> None:
    """Find what a handler did to the transaction while its message is still known.

    An SQL error that it swallowed would otherwise come up in the next message, and be blamed on that.
    """
    match conn.info.transaction_status:
        case TransactionStatus.INTRANS:
            return
        case TransactionStatus.INERROR:
            raise TransactionFailed
        case _:
            raise TransactionLeft(run.ran)
