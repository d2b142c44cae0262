"""One batch in one transaction: ids, effects, COMMIT."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from psycopg.errors import InvalidSavepointSpecification, NoActiveSqlTransaction
from psycopg.pq import TransactionStatus

from txbox.consumer.consumer import Plan, name_of
from txbox.consumer.errors import TransactionLeft
from txbox.consumer.guard import GuardedConnection
from txbox.consumer.held import Held
from txbox.consumer.inbox import Inbox
from txbox.consumer.outcomes import Committed, Handled, Outcome, judge
from txbox.consumer.received import Received
from txbox.daemon import failpoint
from txbox.outbox import TransactionFailed

__all__ = ["settle"]


@dataclass(slots=True, kw_only=True)
class _Run:
    """What has happened so far in a batch's transaction."""

    clock: Callable[[], float]
    #: the message whose handler is running
    current: Received | None = None
    handled: list[Handled] = field(default_factory=list)
    duplicates: list[Received] = field(default_factory=list)
    #: names of the handlers that ran, in order
    ran: list[str] = field(default_factory=list)


def settle(
    conn: GuardedConnection, inbox: Inbox, held: Held, plan: Plan, clock: Callable[[], float] = time.monotonic
) -> Outcome:
    """Take the batch's ids, run the handlers of those that are new, put aside what cannot be read, and COMMIT.

    All of it or nothing: after `Failed` the database is as before, and the batch may be settled again. Raises
    TransactionLeft when a handler ended the transaction: then what it committed cannot be told.
    """
    run = _Run(clock=clock)
    try:
        with conn.transaction():
            new = inbox.claim([*(message for _, message in plan.messages), *(bad for bad in plan.unreadable)])
            failpoint("consumer.handling")
            _handle(conn, plan, new, run)
            dead = [bad for bad in plan.unreadable if bad.id in new]
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
    """Run the handlers within a savepoint, which is gone if one of them ended the transaction."""
    taken = set(new)
    try:
        with conn.transaction(), conn.guarding():
            for handler, message in plan.messages:
                if message.id not in taken:
                    run.duplicates.append(message)
                    continue
                taken.discard(message.id)  # a second copy in this very batch is a duplicate
                run.current = message
                run.ran.append(name_of(handler))
                began = run.clock()
                handler(conn, message)
                _check(conn, run)
                run.handled.append(Handled(message, run.clock() - began))
            run.current = None
    except (InvalidSavepointSpecification, NoActiveSqlTransaction) as error:
        raise TransactionLeft(run.ran) from error


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
