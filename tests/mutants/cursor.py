"""What must be caught about the cursor and the reading of rows."""

from tests.mutants.table import Mutant

__all__ = ["CURSOR"]

_CURSOR = "relay/txbox/relay/cursor.py"
_POLL = "relay/txbox/relay/poll.sql"
#: the walks alone: Hypothesis would look for the shortest way to each fault, for minutes
_MACHINE = "tests/unit/relay/test_cursor_machine.py -k random_interleavings"
_SOURCE = "relay/txbox/relay/poll.py"
_STEPS = "tests/integration/relay/test_poll_steps.py"
_LIMITS = "tests/integration/relay/test_cursor_limits.py"
_PLANS = f"{_LIMITS} -k planner"
_FACTS = "tests/integration/relay/test_cursor_facts.py"
_LINK = "daemon/txbox/daemon/postgres.py"
_AHEAD = "tests/integration/relay/test_poll_ahead.py"

CURSOR = (
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
