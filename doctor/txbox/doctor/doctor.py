"""The checks in their order: each gathers facts and has them judged."""

import inspect
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from functools import cached_property
from typing import Any, Final

from psycopg import OperationalError
from psycopg.rows import scalar_row, tuple_row

from txbox.consumer import report as consumers
from txbox.daemon import Database, Kafka, Link, connect
from txbox.doctor.cluster import (
    Address,
    addresses,
    brokers,
    judge_brokers,
    judge_sizes,
    judge_topics,
    unreachable,
)
from txbox.doctor.database import judge_clock, judge_rights, judge_users, skew
from txbox.doctor.finding import Check, Finding, fail, ok, warn
from txbox.doctor.probe import Probe
from txbox.doctor.standing import (
    judge_dead,
    judge_lag,
    judge_others,
    judge_refused,
    judge_relay,
    judge_standby,
    runs,
)
from txbox.outbox import Outbox
from txbox.relay import RelayConfig
from txbox.relay import report as relays
from txbox.relay.ledger import Ledger
from txbox.relay.session import require_own
from txbox.relay.topics import Topics
from txbox.schema import Statements, require
from txbox.schema.locks import in_use
from txbox.schema.rights import rights

__all__ = ["Doctor"]

#: seconds for an answer of the cluster
_PATIENCE: Final = 5.0


class Doctor:
    """Looks at one database and one cluster, as the relay and the consumers of this configuration would see them.

    `database` and `kafka` say where they are, or raise what there is to be told (NotTold). Changes nothing, but for the
    probe, which cleans up after itself. Use as a context manager: it has one connection, from the check `database` on.
    """

    def __init__(
        self,
        database: Callable[[], Database],
        kafka: Callable[[], Kafka],
        config: RelayConfig | None = None,
        *,
        topics: Collection[str] = (),
        clock: Callable[[], float] = time.time,
        patience: float = 20.0,
    ) -> None:
        """`patience`: seconds for the probe to come back, and for the relay to be past it then."""
        self._where, self._which, self._clock, self._patience = database, kafka, clock, patience
        config = config or RelayConfig()
        self._create = config.create_topics
        self._config = replace(config, create_topics=False)  # whoever looks makes none
        self._asked = topics
        self._brokers: list[Address] = []

    def __enter__(self) -> "Doctor":
        return self

    def __exit__(self, *failure: object) -> None:
        if "_conn" in vars(self):
            self._conn.close()

    def checks(self, *, probe: bool = False) -> Iterator[Check]:
        """Return the checks, in order: what others rest on comes first."""
        yield Check("database", self._look_at_database)
        yield Check("session", self._look_at_session, ("database",))
        yield Check("schema", self._look_at_schema, ("database",))
        yield Check("roles", lambda: judge_rights(rights(self._conn, self._schema)), ("schema",))
        yield Check("guards", self._look_at_guards, ("session", "schema"))
        yield Check("transactions", lambda: judge_users(in_use(self._conn, self._schema)), ("schema",))
        yield Check("database clock", self._look_at_clock, ("database",))
        yield Check("kafka", self._look_at_kafka)
        yield Check("brokers", self._look_at_brokers, ("kafka",))
        yield Check("topics", self._look_at_topics, ("schema", "kafka", "brokers"))
        yield Check("sizes", self._look_at_sizes, ("topics",))
        yield Check("relay", lambda: judge_relay(self._config.name, self._relays()), ("schema",))
        yield Check("standby", self._look_at_standby, ("schema",))
        yield Check("other relays", self._look_at_others, ("schema",))
        yield Check("refused", lambda: judge_refused(*self._row("refused")), ("schema",))
        yield Check("dead", lambda: judge_dead(consumers.standing(self._conn, self._schema)), ("schema",))
        yield Check("lag", self._look_at_lag, ("schema", "kafka", "brokers"))
        if probe:
            yield Check("probe", self._send_probe, ("schema", "guards", "kafka", "brokers"))
            yield Check("broker clock", lambda: self._probe.clock(), ("probe",))

    @cached_property
    def _database(self) -> Database:
        return self._where()

    @cached_property
    def _kafka(self) -> Kafka:
        return self._which()

    @cached_property
    def _conn(self) -> Link[Any]:
        return connect(Link[Any], self._database, "doctor")

    @cached_property
    def _statements(self) -> Statements:
        return Statements(__package__, "doctor.sql", self._schema)

    @cached_property
    def _topics(self) -> Topics:
        return Topics(self._kafka, self._config)

    @cached_property
    def _probe(self) -> Probe:
        return Probe(self._conn, self._database, self._kafka, clock=self._clock, patience=self._patience)

    @property
    def _schema(self) -> str:
        return self._database.schema

    def _look_at_database(self) -> Finding:
        try:
            info = self._conn.info
        except OperationalError as error:
            return fail(
                str(error).strip(),
                "txbox config show --origin tells where database.url comes from. Is the server up? Is the user let in?",
            )
        version = info.server_version
        return ok(
            f"PostgreSQL {version // 10000}.{version % 100} at {info.host}:{info.port}/{info.dbname} as {info.user}"
        )

    def _look_at_session(self) -> Finding:
        require_own(self._conn, self._database)
        return ok("a session of our own, no pooler that lends it to others")

    def _look_at_schema(self) -> Finding:
        return ok(f"version {require(self._conn, self._schema)}, all migrations ran")

    def _look_at_guards(self) -> Finding:
        facts = Ledger(self._conn, self._database, self._config.name).inspect()
        return ok(
            f"the outbox's sequence is as the relay needs it, at {facts.last_value:,}; the cursor is this database's"
        )

    def _look_at_clock(self) -> Finding:
        before = self._clock()
        told = float(self._row("now")[0])
        return judge_clock("the database's", skew(told, before, self._clock()))

    def _look_at_kafka(self) -> Finding:
        asked = addresses(self._kafka.bootstrap_servers)
        away = unreachable(asked)
        mend = "txbox config show --origin tells where kafka.bootstrap_servers comes from; is the broker up?"
        told = "; ".join(f"{address}: {why}" for address, why in away.items())
        if len(away) == len(asked):
            return fail(f"no broker: {told or 'none is named'}", mend)
        self._brokers = brokers(self._kafka)
        if away:
            return warn(f"of kafka.bootstrap_servers not all can be reached: {told}", mend)
        return ok(f"{len(self._brokers)} brokers, asked at {', '.join(map(str, asked))}")

    def _look_at_brokers(self) -> Finding:
        return judge_brokers(self._brokers, unreachable(self._brokers))

    def _look_at_topics(self) -> Finding:
        with self._conn.cursor(row_factory=scalar_row) as cursor:
            used = cursor.execute(self._statements["topics"], {"template": self._config.topic}).fetchall()
        names = {*used, *self._asked}
        self._topics.learn(names)
        known = self._topics
        return judge_topics(names, known.limits, known.denied, impossible=known.impossible, create=self._create)

    def _look_at_sizes(self) -> Finding:
        largest = inspect.signature(Outbox).parameters["max_payload"].default
        return judge_sizes(self._topics.limits, largest, self._kafka.client.get("message.max.bytes"))

    def _look_at_standby(self) -> Finding:
        name = self._config.name
        nobody: dict[str, Any] = {"leading": False, "standbys": 0}
        mine = next((relay for relay in self._relays() if relay["name"] == name), nobody)
        return judge_standby(name, mine["leading"] + mine["standbys"], leading=mine["leading"])

    def _look_at_others(self) -> Finding:
        return judge_others(self._config.name, self._relays(), self._schema)

    def _look_at_lag(self) -> Finding:
        names = [record["consumer"] for record in consumers.standing(self._conn, self._schema)]
        found = consumers.groups(self._kafka, names, over=0.0)
        lags = {name: group.lag or 0 for name, group in found.items()}
        return judge_lag(lags, {name: group.members for name, group in found.items()})

    def _send_probe(self) -> Finding:
        if not any(runs(relay) for relay in self._relays()):
            return fail("no relay runs: nothing was sent", "txbox relay run")
        return self._probe.send()

    def _relays(self) -> list[dict[str, Any]]:
        return relays.status(self._conn, self._schema)

    def _row(self, name: str, parameters: Mapping[str, object] | None = None) -> tuple[Any, ...]:
        with closing(self._conn.cursor(row_factory=tuple_row)) as cursor:
            return cursor.execute(self._statements[name], parameters).fetchone() or ()
