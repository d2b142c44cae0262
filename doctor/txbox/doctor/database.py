"""What PostgreSQL must be like: judged from facts by pure functions, which the checks gather."""

from collections.abc import Sequence
from typing import Final

from txbox.doctor.finding import Finding, fail, ok, warn
from txbox.schema.locks import User
from txbox.schema.rights import Right, Rights

__all__ = ["judge_clock", "judge_rights", "judge_users", "skew"]

#: seconds that a transaction may have the outbox open before it is worth a word
_LONG: Final = 60.0
#: seconds of difference between clocks that nobody would notice, and those from which on Kafka may refuse records
_SKEW: Final = 2.0
_FAR: Final = 60.0
#: rights that are named; there may be dozens
_NAMED: Final = 4


def judge_rights(found: Rights) -> Finding:
    """Say whether the four roles have what they need, and nothing else."""
    mend = "txbox db roles --apply, as the owner of the tables"
    if found.unused:
        return warn("no roles are in use here: who uses the tables may do everything, or has rights of your own", mend)
    if found.absent:
        return fail(f"roles are not there: {', '.join(found.absent)}", mend)
    if found.missing:
        return fail(f"missing: {_named(found.missing)}", mend)
    if found.excessive:
        return warn(f"more than is needed: {_named(found.excessive)}", mend)
    return ok("the roles have what they need, and nothing else")


def judge_users(users: Sequence[User]) -> Finding:
    """Say whether somebody keeps the tables open; `users` are the longest first."""
    long = [user for user in users if user.seconds > _LONG]
    if long:
        return warn(
            f"transactions have txbox's tables open: {'; '.join(map(str, long))}. The relay publishes on, but "
            "remembers a writer's gap and prunes nothing above it",
            "end what was forgotten: SELECT pg_terminate_backend(pid), or ROLLBACK PREPARED; "
            "idle_in_transaction_session_timeout ends the next one by itself",
        )
    hidden = sum("pg_read_all_stats" in user.state for user in users)
    if hidden:
        return ok(f"{hidden} transactions are open; for how long, only members of pg_read_all_stats are told")
    return ok("no transaction has had them open for a minute")


def skew(told: float, before: float, after: float) -> float:
    """Return by how many seconds a clock differs from ours, for certain: it was asked between `before` and `after`."""
    return min(told - before, 0.0) + max(told - after, 0.0)


def judge_clock(whose: str, seconds: float) -> Finding:
    """Say whether a clock is so far from ours that it shows."""
    if abs(seconds) <= _SKEW:
        return ok(f"{whose} clock is ours, within {_SKEW:.0f} s")
    where = "ahead of" if seconds > 0 else "behind"
    why = f"{whose} clock is {abs(seconds):,.0f} s {where} ours: latencies and ages that are shown are wrong by as much"
    mend = "let all servers have their time from NTP (chronyc tracking)"
    if abs(seconds) <= _FAR:
        return warn(why, mend)
    return fail(f"{why}, Kafka may refuse records as too new, or delete them as too old", mend)


def _named(found: Sequence[Right]) -> str:
    some = "; ".join(map(str, found[:_NAMED]))
    return some if len(found) <= _NAMED else f"{some}; and {len(found) - _NAMED} more"
