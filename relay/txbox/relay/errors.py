"""What can keep a relay from publishing.

RelayError
├── UnfitWait           a setting is out of its range; told at the start
├── RelayWaits          says so in /readyz and the log, and tries again
│   ├── Undeliverable   Kafka refuses a message, now and whenever it is tried
│   ├── TopicMissing    a message's topic does not exist and may not be made
│   ├── AccessDenied    the relay's user may not do what publishing takes
│   ├── PublisherLost   librdkafka's producer is beyond use; a new one is made
│   ├── Superseded      the cursor changed hands, or the sequence was changed; it looks again
│   ├── InRecovery      the server is a standby, until it is promoted
│   └── OldTimeline     the server was left behind by a failover that this relay has followed
└── the relay stops: a person must look
    ├── AnotherLeader   `run(once=True)` while another relay of this name leads
    ├── CursorAhead     the cursor has seen more than the table holds: rows would be passed over
    ├── WrongCluster    the cursor belongs to another database server
    ├── SharedSession   a pooler lends the relay's session to others between two statements
    ├── HiddenRows      the relay's role does not see all that it would have to publish
    └── UnfitSequence   the outbox or its sequence breaks a rule that the relay relies on
"""

from collections.abc import Collection

__all__ = [
    "AccessDenied",
    "AnotherLeader",
    "CursorAhead",
    "HiddenRows",
    "InRecovery",
    "OldTimeline",
    "PublisherLost",
    "RelayError",
    "RelayWaits",
    "SharedSession",
    "Superseded",
    "TopicMissing",
    "Undeliverable",
    "UnfitSequence",
    "UnfitWait",
    "WrongCluster",
]


class RelayError(Exception):
    """A relay cannot publish."""

    #: ids of messages, or topics, that are to be tried alone, so that trying them again repeats no others
    suspects: frozenset[str] = frozenset()


class RelayWaits(RelayError):
    """Nobody need restart the relay: it waits until this is over. Every other RelayError ends it."""


class UnfitWait(RelayError):
    """relay.poll_min or relay.poll_max is out of its range."""

    def __init__(self, shortest: float, longest: float, least: float, most: float) -> None:
        super().__init__(
            f"relay.poll_min is {shortest:g} s and relay.poll_max {longest:g} s: set the first to at least {least:g} s "
            f"and not above the second, the second to at most {most:g} s"
        )


class Undeliverable(RelayWaits):
    """Kafka refuses a message; those after it wait, so that none is passed over, or it is held: see RelayConfig."""

    def __init__(self, message_id: str, topic: str, why: str, refused: Collection[str] = ()) -> None:
        self.message_id, self.topic, self.why = message_id, topic, why
        # All that were refused together: it is one of them.
        self.suspects = frozenset(refused) | {message_id}
        others = len(self.suspects) - 1
        which = f", or one of {others:,} that were refused with it," if others else ""
        super().__init__(
            f"message {message_id}{which} cannot be published to topic {topic!r}: {why}. Publishing stops before it "
            "until Kafka takes it; nothing is lost"
        )


class TopicMissing(RelayWaits):
    """A topic does not exist."""

    def __init__(self, topic: str) -> None:
        self.topic, self.why = topic, "the topic does not exist"
        super().__init__(
            f"topic {topic!r} does not exist: create it, or let the relay do so (--create-topics). Publishing stops "
            "before its first message; nothing is lost"
        )


class AccessDenied(RelayWaits):
    """Kafka does not let the relay's user do something that publishing takes, on a topic or (None) on the cluster."""

    def __init__(self, topic: str | None, why: str, suspects: Collection[str] = ()) -> None:
        self.topic, self.why = topic, why
        self.suspects = frozenset(suspects)
        where, mend = (
            ("the cluster", "Write on the topics (with brokers before 3.0, IdempotentWrite on the cluster too)")
            if topic is None
            else (f"topic {topic!r}", "Write and DescribeConfigs on it (and Create, if the relay is to make it)")
        )
        super().__init__(
            f"Kafka denies the relay's user access to {where}: {why.rstrip('.')}. Grant it {mend}. Publishing waits "
            "for that; nothing is lost"
        )


class PublisherLost(RelayWaits):
    """The producer cannot go on. What was not acked is published again by a new one."""

    def __init__(self, why: str, suspects: Collection[str] = ()) -> None:
        self.suspects = frozenset(suspects)
        super().__init__(
            f"the Kafka producer cannot go on: {why}. What was not acked is published again from the saved cursor"
        )


class Superseded(RelayWaits):
    """The cursor is no longer ours to save: another leader took over, or the sequence beneath it was changed."""

    def __init__(self, name: str, epoch: int) -> None:
        super().__init__(
            f"the cursor of relay {name!r} is no longer that of epoch {epoch}: another relay took over, or the "
            "outbox's sequence was changed. What was not saved is published again, if it still is to be"
        )


class InRecovery(RelayWaits):
    """The server is a standby: what it shows may be behind, and it saves no cursor."""

    def __init__(self) -> None:
        super().__init__(
            "this server is a standby: the relay waits until it is promoted. If it will not be, connect to the "
            "primary: with every server in the URL, target_session_attrs=read-write finds it"
        )


class OldTimeline(RelayWaits):
    """The server is a primary that a failover left behind: what is written there will be thrown away."""

    def __init__(self, seen: int, found: int) -> None:
        self.seen, self.found = seen, found
        super().__init__(
            f"this server is on timeline {found}, this relay has been on timeline {seen}: it is an old primary that "
            "came back after a failover. Stop it, or take it out of the URL; if an earlier state was restored on "
            "purpose, restart the relay"
        )


class AnotherLeader(RelayError):
    """Another relay of this name leads."""

    def __init__(self, name: str) -> None:
        super().__init__(f"another relay {name!r} leads: stop it first, or leave the work to it")


class CursorAhead(RelayError):
    """The sequence is behind the cursor: new rows would get seqs that count as published."""

    def __init__(self, name: str, tail: int, last: int, outbox: str) -> None:
        """`outbox`: its quoted name, as a literal."""
        self.tail, self.last = tail, last
        super().__init__(
            f"relay {name!r} has published up to seq {tail}, but the outbox's sequence stands at {last}: it was set "
            "back, or the table was restored or emptied with RESTART IDENTITY. New rows would be passed over. "
            f"Mend: SELECT setval(pg_get_serial_sequence({outbox}, 'seq'), {tail}), if no row above {last} "
            "is unpublished"
        )


class WrongCluster(RelayError):
    """The database's system identifier is not the one that the cursor was saved with."""

    def __init__(self, name: str, stored: str, found: str) -> None:
        super().__init__(
            f"the cursor of relay {name!r} was saved on the server with system identifier {stored}, this one is "
            f"{found}: the database was copied or restored elsewhere, and the same rows may have been published from "
            "both. Make sure that the other one's relay has stopped, then run: txbox relay accept-cluster"
        )


class SharedSession(RelayError):
    """The connection is a session only from one statement to the next: lock, settings and saves would be anybody's."""

    def __init__(self) -> None:
        super().__init__(
            "a pooler in transaction mode stands between the relay and PostgreSQL: its lock, its settings and its "
            "saves need one session. Mend: connect directly, or through a pool with pool_mode = session"
        )


class HiddenRows(RelayError):
    """Rows that the role does not see would be passed over."""

    def __init__(self, role: str, what: str, mend: str) -> None:
        self.role = role
        super().__init__(f"role {role!r} {what}: the relay would pass over messages. Mend: {mend}")


class UnfitSequence(RelayError):
    """Something that the proof of no loss rests on is not so."""

    def __init__(self, what: str, mend: str) -> None:
        super().__init__(f"{what}. Mend: {mend}")
