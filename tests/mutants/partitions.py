"""What must be caught about partitions of the outbox."""

from tests.mutants.table import Mutant

__all__ = ["PARTITIONS"]

_PARTS = "relay/txbox/relay/parts.py"
_DROPPED = "tests/integration/relay/test_parts.py"

PARTITIONS = (
    Mutant(
        "partitions with gaps go",
        "relay/txbox/relay/parts.sql",
        "SELECT min(least(tail + 1, lower(gaps))) FROM {schema}.relay_cursor;",
        "SELECT min(tail + 1) FROM {schema}.relay_cursor;",
        _DROPPED,
    ),
    Mutant(
        "partitions are dropped whatever has become of the cursors meanwhile",
        _PARTS,
        "lambda: _lies_below(part, self._bound()),",
        "lambda: True,",
        _DROPPED,
    ),
    Mutant("partitions of any age go", _PARTS, "age > self._older_than", "True", _DROPPED),
    Mutant(
        "partitions are judged by their last row",
        _PARTS,
        'pages = self._one("pages", part=name) if self._is_old(youngest) else 0',
        "pages = 0",
        _DROPPED,
    ),
    Mutant(
        "cursors do not follow the outbox to its new sequence",
        "schema/txbox/schema/partitioning.sql",
        "WHERE sequence_oid = {old};",
        "WHERE sequence_oid = {old} AND false;",
        f"{_DROPPED} -k open_writer",
    ),
    Mutant(
        "a leader notes a sequence that is no more",
        "relay/txbox/relay/ledger.sql",
        "WHERE s.filenode = pg_relation_filenode(s.oid)",
        "WHERE s.filenode > 0",
        f"{_DROPPED} -k takes_the_lead",
    ),
    Mutant(
        "changes of tables wait for their locks while all writers wait behind them",
        "schema/txbox/schema/locks.sql",
        "setting::int, 1000) * %(share)s, 1)",
        "setting::int, 1000) * %(share)s * 0, 0)",
        "tests/integration/schema/test_partition.py -k holds_others_up",
    ),
    Mutant(
        "a partition's bound is within writers' reach",
        "schema/txbox/schema/partitioning.py",
        "bound = (now.drawn // FAR + 2) * FAR",
        "bound = now.drawn + 5",
        "tests/integration/schema/test_partition.py -k dead_process",
    ),
    Mutant(
        "the last partition is read through while writers wait",
        "schema/txbox/schema/partitioning.sql",
        "CHECK (seq >= {lower} AND seq < {upper})",
        "CHECK (seq >= seq AND seq < {upper})",
        "tests/integration/schema/test_partition.py -k without_its_rows",
    ),
    Mutant(
        "the sequence jumps whoever else makes it jump",
        "schema/txbox/schema/partitioning.py",
        '        with self._first(now):\n            self.ask("jump", to=to)',
        '        self.ask("jump", to=to)',
        "tests/integration/schema/test_partition.py -k does_not_jump",
    ),
    Mutant(
        "who is frozen keeps the outbox",
        "schema/txbox/schema/locks.sql",
        "timeout', '2s', true)",
        "timeout', '0', true)",
        "tests/integration/schema/test_partition.py -k frozen",
    ),
    Mutant(
        "two that make partitions do not notice each other",
        "schema/txbox/schema/partitioning.py",
        "if now is not None and parts_of(self._conn, self._schema) != now.parts:",
        "if False:",
        "tests/integration/schema/test_partition.py -k at_once",
    ),
)
