"""Each mutant breaks one rule in one place, and names tests that must fail."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutant:
    """One rule, broken."""

    name: str
    #: where, relative to the repository
    file: str
    #: what stands there, once, and what is put in its place
    old: str
    new: str
    #: what must fail
    tests: str


_HOLDING = "relay/txbox/relay/holding.py"
_HELD = "tests/integration/relay/test_held.py"
_LEDGER = "tests/integration/relay/test_ledger.py"
_RELAY = "relay/txbox/relay/relay.py"
_SILENT = "tests/integration/relay/test_postgres_silent.py"
_KAFKA_CUT = "tests/integration/relay/test_kafka_cut.py"
_PRUNE = "relay/txbox/relay/prune.sql"
_PRUNED = "tests/integration/relay/test_prune.py -k stay"
_DENIED = "tests/integration/faults/test_denied.py"
_PRUNE_COST = "tests/integration/relay/test_prune_cost.py"

MUTANTS = (
    Mutant(
        "the cursor is saved before the acks",
        "relay/txbox/relay/flights.py",
        "while self._flying and self._flying[0].left == 0:",
        "while self._flying:",
        "tests/unit/relay/test_flights.py",
    ),
    Mutant(
        "a delivery that failed counts as an ack",
        "relay/txbox/relay/flights.py",
        "        if error is None:\n            self.left -= 1",
        "        self.left -= 1\n        if error is None:\n            pass",
        "tests/unit/relay/test_flights.py",
    ),
    Mutant(
        "the cursor is saved whoever leads",
        "relay/txbox/relay/ledger.sql",
        "    AND epoch = %(epoch)s\n",
        "",
        _LEDGER,
    ),
    Mutant(
        "a restarted sequence is not noticed",
        "relay/txbox/relay/guards.py",
        "if stored.sequence_oid is not None and (",
        "if False and (",
        "tests/unit/relay/test_guards.py",
    ),
    Mutant(
        "the cursor is kept in memory over a reconnect",
        "relay/txbox/relay/poll.py",
        "        self._frontier = Frontier.of(cursor)\n",
        "        kept = vars(Poll).get('kept')\n"
        "        self._frontier = Frontier.of(kept() if kept else cursor)\n"
        "        Poll.kept = lambda: self._frontier.cursor\n",
        "tests/integration/relay/test_other_servers.py -k restored_backup",
    ),
    Mutant(
        "holders are kept over a reconnect",
        "relay/txbox/relay/poll.py",
        "        self._frontier = Frontier.of(cursor)\n",
        "        kept = vars(Poll).get('kept')\n"
        "        self._frontier = kept() if kept and kept().cursor == cursor else Frontier.of(cursor)\n"
        "        Poll.kept = lambda: self._frontier\n",
        "tests/integration/relay/test_reconnects.py",
    ),
    Mutant(
        "a pool that is idle is not noticed",
        "relay/txbox/relay/session.py",
        "if mine in others or len(others) > 1 or ",
        "if ",
        "tests/integration/relay/test_other_servers.py -k pooler_that_shares",
    ),
    Mutant(
        "row-level security is not noticed",
        "relay/txbox/relay/guards.py",
        "if facts.secured is not None:",
        "if False:",
        "tests/integration/relay/test_other_servers.py -k row_security",
    ),
    Mutant(
        "a standby is relied on",
        "relay/txbox/relay/guards.py",
        "if facts.in_recovery:",
        "if False:",
        "tests/integration/relay/test_failover.py -k waits_at_a_standby",
    ),
    Mutant(
        "an old primary is published",
        "relay/txbox/relay/relay.py",
        "if timeline < self._timeline:",
        "if False:",
        "tests/integration/relay/test_failover.py -k old_primary",
    ),
    Mutant("all keys are free when one row left", _HOLDING, "self.keys -= free", "self.keys.clear()", _HELD),
    Mutant(
        "nothing is due behind a row that came late",
        _HOLDING,
        "            self._pass_on(keys_of(rows))\n            self._ledger.save(cursor)\n",
        "            self._ledger.save(cursor)\n",
        _HELD,
    ),
    Mutant(
        "the cursor passes rows that are not held yet",
        _HOLDING,
        '        with self._ledger.mine():\n            added = self._run(\n                "keep",\n',
        "        self._ledger.save(cursor)\n"
        '        with self._ledger.mine():\n            added = self._run(\n                "keep",\n',
        _HELD,
    ),
    Mutant(
        "rows are held and deleted whoever leads",
        "relay/txbox/relay/ledger.sql",
        "WHERE name = %(name)s AND epoch = %(epoch)s\nFOR UPDATE",
        "WHERE name = %(name)s AND %(epoch)s > 0\nFOR UPDATE",
        _HELD,
    ),
    Mutant("pruning over gaps", _PRUNE, "least(tail + 1, lower(gaps))", "tail + 1", _PRUNED),
    Mutant("pruning above the tail", _PRUNE, "least(tail + 1, ", "least(tail + 2, ", _PRUNED),
    Mutant("pruning as far as the first relay has come", _PRUNE, "SELECT min(least(", "SELECT max(least(", _PRUNED),
    Mutant("pruning of rows of any age", _PRUNE, "WHERE old AND NOT", "WHERE NOT", _PRUNED),
    Mutant("pruning passes all that was deleted, each time", _PRUNE, "seq >= %(start)s", "%(start)s >= 0", _PRUNE_COST),
    Mutant(
        "pruning reads all rows below the bound, each time",
        "relay/txbox/relay/prune.py",
        '"enable_bitmapscan": "off"',
        '"enable_bitmapscan": "on"',
        _PRUNE_COST,
    ),
    Mutant(
        "the epoch stays as it is when another one leads",
        "relay/txbox/relay/ledger.sql",
        "epoch = mine.epoch + 1,",
        "epoch = mine.epoch,",
        f"{_SILENT} -k takes_over",
    ),
    Mutant(
        "a save that changed no row counts as one",
        "relay/txbox/relay/ledger.py",
        'self.statements["save"], parameters).rowcount == 0',
        'self.statements["save"], parameters).rowcount < 0',
        _LEDGER,
    ),
    Mutant(
        "producers of earlier terms live on with what was not acked",
        _RELAY,
        "        with closing(publisher):\n",
        '        self.__dict__.setdefault("kept", []).append(publisher)\n        if True:\n',
        f"{_KAFKA_CUT} -k dropped_with_its_session",
    ),
    Mutant(
        "flush is taken for success",
        "relay/txbox/relay/loop.py",
        "        self._settle(finally_=True)\n\n    def _report",
        "        self._publisher._producer.flush(0.1)\n        self._arrived = self._sent\n"
        "        self._settle(finally_=True)\n\n    def _report",
        f"{_KAFKA_CUT} -k not_saved",
    ),
    Mutant(
        "a silent server is waited for without end",
        "daemon/txbox/daemon/postgres.py",
        "elif now - last > self.patience:",
        "elif False:",
        f"{_SILENT} -k notices",
    ),
    Mutant(
        "a silent leader's transaction lasts for ever",
        "relay/txbox/relay/ledger.py",
        '        "idle_in_transaction_session_timeout": "20s",\n',
        "",
        f"{_SILENT} -k frees_the_lead",
    ),
    Mutant(
        "a relay is ready before it can lead",
        _RELAY,
        "        facts = ledger.inspect()\n",
        '        facts = ledger.inspect()\n        self.health.set("database", True)\n',
        "tests/integration/relay/test_statement_timeout.py",
    ),
    Mutant(
        "the lead is freed before the role is given up",
        _RELAY,
        "                self._follow()  # before",
        "                pass  # before",
        "tests/integration/relay/test_rollout.py -k given_up",
    ),
    Mutant(
        "a denied topic's rows are sent together again, each term",
        "relay/txbox/relay/loop.py",
        "return AccessDenied(failure.topic, failure.error.str(), {failure.topic})",
        "return AccessDenied(failure.topic, failure.error.str())",
        f"{_DENIED} -k flooded",
    ),
    Mutant(
        "a denied retry of a held row ends the term",
        "relay/txbox/relay/retries.py",
        "meaning(error) is Meaning.FATAL",
        "meaning(error) is not Meaning.POISON",
        f"{_DENIED} -k retry",
    ),
    Mutant(
        "a producer that was lost says nothing against publishing",
        "relay/txbox/relay/relay.py",
        '                server, checks = "none", ("publishing",)\n',
        '                server, checks = "none", ("kafka",)\n',
        f"{_DENIED} -k flooded",
    ),
    Mutant(
        "a limit that was lowered is published to one by one",
        "relay/txbox/relay/publisher.py",
        "return failure.error.code() == KafkaError.MSG_SIZE_TOO_LARGE and not self._topics.compressed",
        "return False",
        "tests/integration/relay/test_publisher.py -k limit_may_fall",
    ),
)
