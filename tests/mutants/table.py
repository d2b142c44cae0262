"""Each mutant breaks one rule in one place, and names tests that must fail."""

from dataclasses import dataclass

__all__ = ["MUTANTS", "Mutant"]


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


_CURSOR = "relay/txbox/relay/cursor.py"
_POLL = "relay/txbox/relay/poll.sql"
#: the walks alone: Hypothesis would look for the shortest way to each fault, for minutes
_MACHINE = "tests/unit/relay/test_cursor_machine.py -k random_interleavings"
_SOURCE = "relay/txbox/relay/poll.py"
_HOLDING = "relay/txbox/relay/holding.py"
_HELD = "tests/integration/relay/test_held.py"
_STEPS = "tests/integration/relay/test_poll_steps.py"
_LIMITS = "tests/integration/relay/test_cursor_limits.py"
_PLANS = f"{_LIMITS} -k planner"
_FACTS = "tests/integration/relay/test_cursor_facts.py"
_LEDGER = "tests/integration/relay/test_ledger.py"
_RELAY = "relay/txbox/relay/relay.py"
_SILENT = "tests/integration/relay/test_postgres_silent.py"
_KAFKA_CUT = "tests/integration/relay/test_kafka_cut.py"
_PRUNE = "relay/txbox/relay/prune.sql"
_LINK = "daemon/txbox/daemon/postgres.py"
_AHEAD = "tests/integration/relay/test_poll_ahead.py"
_PRUNED = "tests/integration/relay/test_prune.py -k stay"
_DENIED = "tests/integration/faults/test_denied.py"
_PRUNE_COST = "tests/integration/relay/test_prune_cost.py"

MUTANTS = (
    Mutant(
        "gaps are forgotten: last seq",
        _CURSOR,
        "        if found:\n            groups.append(Group(gaps=found))\n",
        "",
        _MACHINE,
    ),
    Mutant(
        "gaps are not asked for",
        _CURSOR,
        "return Question(tail=self.tail, gaps=reduce(_merged, asked, ()), left_out=left_out)",
        "return Question(tail=self.tail, gaps=(), left_out=left_out)",
        _MACHINE,
    ),
    Mutant(
        "unknown holders count as none",
        _CURSOR,
        "return self.holders is not None and not self.holders",
        "return not self.holders",
        _MACHINE,
    ),
    Mutant(
        "asked once is asked for ever, although a holder left",
        _CURSOR,
        "asked=self.asked and len(left) == len(self.holders)",
        "asked=self.asked",
        _MACHINE,
    ),
    Mutant(
        "known holders are replaced by those of a newer read",
        _CURSOR,
        "frozenset(now[holder.vxid] for holder in self.holders if holder.vxid in now)",
        "frozenset(now.values())",
        "tests/unit/relay/test_cursor.py",
    ),
    Mutant(
        "gaps are left out without a look at the snapshot",
        _CURSOR,
        "return snapshot is None or all(h.xid is not None and snapshot.sees_running(h.xid) for h in self.left_out)",
        "return True",
        _MACHINE,
    ),
    Mutant(
        "an answer that was cut vouches for everything",
        _CURSOR,
        "        return self.seqs[-1] if self.seqs else 0\n",
        "        return None\n",
        _MACHINE,
    ),
    Mutant(
        "the lock of the table instead of the sequence's",
        _POLL,
        "AND l.relation = (SELECT pg_get_serial_sequence(%(table)s, 'seq')::regclass::oid)",
        "AND l.relation = %(table)s::regclass::oid",
        _FACTS,
    ),
    Mutant(
        "the rows are read before the holders, as in one snapshot",
        _SOURCE,
        """        if self._frontier.groups and self._clock() >= self._holders_due:
            self._frontier = self._frontier.observe(self._read_holders())
        drawn = self._read_drawn() if self._labours else 0
        question = self._frontier.question()
        self._send(question, room)
""",
        """        drawn = self._read_drawn() if self._labours else 0
        question = self._frontier.question(everything=True)
        self._send(question, room)
        self._frontier = self._frontier.observe(self._read_holders())
""",
        _STEPS,
    ),
    Mutant(
        "a poll is one transaction in REPEATABLE READ",
        _SOURCE,
        "        if void := self._voids.due(self._clock()):\n",
        '        self._conn.execute("COMMIT")\n'
        '        self._conn.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")\n'
        '        self._conn.execute("SELECT")\n'
        "        if void := self._voids.due(self._clock()):\n",
        _STEPS,
    ),
    Mutant("the outbox may be read as a whole", _SOURCE, '"enable_seqscan": "off"', '"enable_seqscan": "on"', _PLANS),
    Mutant(
        "all that lies above the tail may be read",
        _SOURCE,
        '"enable_bitmapscan": "off"',
        '"enable_bitmapscan": "on"',
        _PLANS,
    ),
    Mutant(
        "the rows of an open transaction are passed over at each poll",
        _SOURCE,
        "self._labours = not cut and self._clock() - began > _LABOURS",
        "self._labours = False",
        f"{_LIMITS} -k million",
    ),
    Mutant(
        "a gap is asked for as long as its holder is there",
        _CURSOR,
        "return self.asked and bool(self.holders)",
        "return False and bool(self.holders)",
        f"{_LIMITS} -k hundred",
    ),
    Mutant(
        "a waiter takes somebody else's transaction id for its own",
        _POLL,
        "AND l.mode = 'ExclusiveLock' AND l.granted)",
        ")",
        _FACTS,
    ),
    Mutant(
        "tombstones count as NULL bytes where a batch is cut",
        _POLL,
        "                            coalesce(octet_length(payload), 0) + coalesce(octet_length(aggregateid), 0)\n"
        "                                + coalesce(pg_column_size(headers), 0) AS size\n",
        "                            octet_length(payload) AS size\n",
        "tests/integration/relay/test_relay.py",
    ),
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
    Mutant(
        "Kafka's offsets are committed before the effects",
        "consumer/txbox/consumer/loop.py",
        "        began = self._clock()\n        outcome = settle(",
        "        began = self._clock()\n        self._broker.done(records)\n        outcome = settle(",
        "tests/integration/consumer/test_runner.py tests/integration/consumer/test_processes.py",
    ),
    Mutant(
        "the inbox is not in the effects' transaction",
        "consumer/txbox/consumer/batch.py",
        "        with conn.transaction():\n            new = inbox.claim(",
        "        claimed = inbox.claim([*(message for _, message in plan.messages), *plan.unreadable])\n"
        "        with conn.transaction():\n            new = (lambda _: claimed)(",
        "tests/integration/consumer/test_batch.py",
    ),
    Mutant(
        "ids are claimed in the order in which they came",
        "consumer/txbox/consumer/inbox.sql",
        "ORDER BY message_id\n",
        "",
        "tests/integration/consumer/test_inbox.py",
    ),
    Mutant(
        "a raw COMMIT is let through",
        "consumer/txbox/consumer/guard.py",
        "        if first in _ENDS:\n            return first\n",
        "",
        "tests/unit/consumer tests/integration/consumer/test_guard.py",
    ),
    Mutant(
        "unknown types enter the inbox",
        "consumer/txbox/consumer/consumer.py",
        "        return handlers.get(type_of(record), handlers.get(None))\n",
        "        return handlers.get(type_of(record), next(iter(handlers.values())))\n",
        "tests/unit/consumer tests/integration/consumer/test_runner.py",
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
    Mutant(
        "a statement is executed while another one is under way",
        _LINK,
        "        if not self._sending:\n            self.receive()\n",
        "        if not self._sending:\n",
        f"{_AHEAD} -k between",
    ),
    Mutant(
        "rows are read ahead as if none were being sent",
        _SOURCE,
        "self._asked = self._ask(left)",
        "self._asked = self._ask(room)",
        f"{_AHEAD} -k fits",
    ),
    Mutant(
        "nothing is read ahead",
        _SOURCE,
        "if cut and left.messages > 0",
        "if not cut and left.messages > 0",
        f"{_AHEAD} -k before",
    ),
)
