"""How far relays and consumers are, and what waits for a person: pure judgements over their reports."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from psycopg import sql

from txbox.doctor.finding import Finding, fail, ok, warn

__all__ = ["judge_dead", "judge_lag", "judge_others", "judge_refused", "judge_relay", "judge_standby", "runs"]

Record = Mapping[str, Any]

#: seconds for which a message may wait, in the outbox
_WAITS: Final = 60.0
#: seconds between two tries of a relay that cannot go on are fewer than these
_TRIES: Final = 20.0
#: messages behind that are worth a word
_BEHIND: Final = 10_000


def runs(relay: Record) -> bool:
    """Return whether a relay leads, or will in a moment: one that cannot go on gives up the lead between its tries."""
    return bool(relay["leading"]) or relay["saved_seconds_ago"] < _TRIES


def judge_relay(name: str, relays: Sequence[Record]) -> Finding:
    """Say whether the relay of that name publishes."""
    mine = next((relay for relay in relays if relay["name"] == name), None)
    if mine is None:
        return warn(f"no relay {name!r} has ever led here: nothing is published", "txbox relay run")
    oldest = mine["oldest_pending_seconds"] or 0.0
    waiting = f"{mine['pending']:,} messages wait, the oldest for {oldest:,.0f} s"
    if not mine["leading"] and not runs(mine):
        if mine["pending"]:
            return fail(f"nobody leads relay {name!r}, and {waiting}", "txbox relay run")
        return warn(f"nobody leads relay {name!r}; nothing waits just now", "txbox relay run")
    if oldest > _WAITS:
        how = "leads" if mine["leading"] else "takes the lead again and again and cannot go on"
        return fail(
            f"the cursor of relay {name!r} is stale: {mine['leader']} {how}, the cursor was saved "
            f"{mine['saved_seconds_ago']:,.0f} s ago, and {waiting}",
            "its /readyz and its log say what it waits for (docs/kafka-errors.md); a message that Kafka refuses: "
            "relay.on_undeliverable = hold",
        )
    if not mine["leading"]:
        return warn(
            f"nobody leads relay {name!r} just now, {mine['leader']} did {mine['saved_seconds_ago']:,.0f} s ago",
            "ask again; if it stays so: txbox relay run",
        )
    return ok(f"{mine['leader']} leads, seq {mine['tail']:,}, {mine['pending']:,} wait")


def judge_others(name: str, relays: Sequence[Record], schema: str = "txbox") -> Finding:
    """Say whether a cursor of another name stands still: what it has not published is never pruned."""
    idle = [relay for relay in relays if relay["name"] != name and not runs(relay)]
    for relay in idle:
        other, cursor = relay["name"], sql.Identifier(schema, "relay_cursor").as_string(None)
        return warn(
            f"nobody leads relay {other!r} since {relay['saved_at']:%Y-%m-%d %H:%M:%S %Z}: rows above "
            f"seq {relay['tail']:,} are kept for it",
            f"txbox relay run --name {other}; or, if it is not wanted any more, "  # noqa: S608  # told, not run
            f"DELETE FROM {cursor} WHERE name = {sql.Literal(other).as_string(None)}",
        )
    return ok("no cursor of another name stands still")


def judge_standby(name: str, processes: int, *, leading: bool) -> Finding:
    """Say whether another process would take over."""
    if processes > 1:
        return ok(f"{processes} processes of relay {name!r}: one leads, the others stand by")
    if not leading:
        return warn(f"no process of relay {name!r} is connected", "start two: txbox relay run")
    return warn(
        f"relay {name!r} is one process: while it restarts, nothing is published",
        "start a second one, on another machine: txbox relay run. It stands by, and takes over within a second",
    )


def judge_refused(refused: int, held: int, topic: str | None) -> Finding:
    """Say whether messages of the outbox are held that Kafka refused."""
    if not held:
        return ok("Kafka refused nothing that is held")
    why = (
        f"{refused:,} messages that Kafka refused wait for a person, {held - refused:,} behind them or for their retry"
    )
    if not refused:
        return warn(why, "the relay tries them: txbox outbox held")
    return fail(f"{why}; the first topic is {topic!r}", "txbox outbox held tells why; then txbox outbox retry, or skip")


def judge_dead(consumers: Sequence[Record]) -> Finding:
    """Say whether messages are held that a consumer could not handle."""
    dead = {record["consumer"]: record["dead"] for record in consumers if record["dead"]}
    if dead:
        blocked = sum(record["blocked_keys"] for record in consumers)
        named = ", ".join(f"{name} {count:,}" for name, count in dead.items())
        return fail(
            f"dead messages wait for a person: {named}; {blocked:,} keys wait behind them",
            "txbox held list --state dead; mend what failed, then txbox held retry, or discard",
        )
    waiting = sum(record["waiting"] for record in consumers)
    if waiting:
        return warn(f"{waiting:,} messages failed and are tried again, or wait behind such", "txbox held list says why")
    return ok("every message that was taken was handled")


def judge_lag(lags: Mapping[str, int], members: Mapping[str, int]) -> Finding:
    """Say whether consumers are behind, by the messages that each is, and its processes."""
    for name, lag in lags.items():
        if lag and not members.get(name):
            return fail(f"nobody runs consumer {name!r}, and {lag:,} messages wait for it", "txbox consume MODULE:APP")
    for name, lag in lags.items():
        if lag > _BEHIND:
            return warn(
                f"consumer {name!r} is {lag:,} messages behind",
                f"txbox consumers lag {name}; run more of it, as many as the topic has partitions",
            )
    return ok(", ".join(f"{name} {lag:,} behind" for name, lag in lags.items()) or "no consumer has run here")
