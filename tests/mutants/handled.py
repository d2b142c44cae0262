"""What must be caught about the consumer: ids, effects, held messages."""

from tests.mutants.table import Mutant

__all__ = ["HANDLED"]

_LOOP = "consumer/txbox/consumer/loop.py"
_BATCH = "consumer/txbox/consumer/batch.py"
_RETRIES = "consumer/txbox/consumer/retries.py"
_TROUBLES = "consumer/txbox/consumer/troubles.py"
_HELD = "consumer/txbox/consumer/held.sql"
_FAILING = "tests/integration/consumer/test_failing.py"
_PARTS = "tests/integration/consumer/test_parts.py"
_RETRIED = "tests/integration/consumer/test_retries.py"
_HARD = "tests/integration/consumer/test_hard_times.py"
_RACES = "tests/integration/consumer/test_held_races.py"

HANDLED = (
    Mutant(
        "Kafka's offsets are committed before the effects",
        _LOOP,
        "        outcome = self._batches.settle(\n            steps, blamed",
        "        self._broker.done(records)\n        outcome = self._batches.settle(\n            steps, blamed",
        "tests/integration/consumer/test_runner.py tests/integration/consumer/test_processes.py",
    ),
    Mutant(
        "the inbox is not in the effects' transaction",
        _BATCH,
        "            with self._handlers.transaction():\n"
        "                if in_turn:\n"
        "                    self._inbox.take_turn()\n"
        "                run = self._begin(steps, blamed, apart=apart, room=room)\n",
        "            run = self._begin(steps, blamed, apart=apart, room=room)\n"
        "            with self._handlers.transaction():\n",
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
    Mutant(
        "held keys are read before the ids are claimed",
        _BATCH,
        "        new = self._inbox.claim(_taken(step) for step in steps if not isinstance(step, Skipped))\n"
        "        places = {_place(step) for step in steps if isinstance(step, Run) and step.message.id in new}"
        " - {None}\n"
        "        blocked = self._lengths([p for p in places if p])\n",
        "        places = {_place(step) for step in steps if isinstance(step, Run)} - {None}\n"
        "        blocked = self._lengths([p for p in places if p])\n"
        "        new = self._inbox.claim(_taken(step) for step in steps if not isinstance(step, Skipped))\n",
        _RACES,
    ),
    Mutant(
        "a message behind a held one of its key runs",
        _BATCH,
        "        if place is not None and place in run.blocked:\n            run.blocked[place] += 1\n",
        "        if False:\n            run.blocked[place] += 1\n",
        _FAILING,
    ),
    Mutant(
        "a message that is held does not hold its key in its own batch",
        _BATCH,
        "                run.blocked[place] = 1  # at once: those behind it in this very batch must wait\n",
        "                pass\n",
        _FAILING,
    ),
    Mutant(
        "a held message is tried without its row's lock",
        _HELD,
        "ORDER BY n\nFOR UPDATE SKIP LOCKED;",
        "ORDER BY n;",
        _RACES,
    ),
    Mutant(
        "a locked head is passed over, and its follower taken",
        "consumer/txbox/consumer/held.py",
        '            if id_ not in taken or taken[id_].state != "waiting":\n                break\n',
        '            if id_ not in taken or taken[id_].state != "waiting":\n                continue\n',
        _RACES,
    ),
    Mutant(
        "a deadlock counts as an attempt",
        "consumer/txbox/consumer/verdicts.py",
        '_IN_THE_WAY: Final = {"40P01", "40001", "55P03"}',
        '_IN_THE_WAY: Final = {"40001", "55P03"}',
        "tests/unit/consumer/test_verdicts.py",
    ),
    Mutant(
        "deferred constraints are silent until COMMIT",
        "consumer/txbox/consumer/handling.py",
        "SET CONSTRAINTS ALL IMMEDIATE; ROLLBACK TO txbox_constraints;",
        "ROLLBACK TO txbox_constraints;",
        f"{_FAILING} -k deferred",
    ),
    Mutant(
        "a message that failed runs again at once",
        _BATCH,
        "        part = replace(run.part(steps), blamed=blamed, apart=True",
        "        part = replace(run.part(steps), apart=True",
        f"{_FAILING} {_PARTS}",
    ),
    Mutant(
        "a message that failed alone runs again at once",
        _LOOP,
        "steps, blamed=troubles.blamed, apart",
        "steps, apart",
        f"{_RETRIED} -k last_attempt",
    ),
    Mutant(
        "that those which follow are to run apart is forgotten",
        _RETRIES,
        "                self._careful.add(place)",
        "                self._careful.discard(place)",
        f"{_RACES} -k little_time",
    ),
    Mutant(
        "a transaction that was left open is taken for the consumer's",
        "consumer/txbox/consumer/handling.py",
        "            self._require_idle()\n",
        "",
        f"{_PARTS} -k left_open",
    ),
    Mutant(
        "deferred constraints of those before are silent when messages begin to run apart",
        "consumer/txbox/consumer/handling.py",
        "        self._conn.execute(_SPEAK)\n        return culprit\n",
        "        return culprit\n",
        _PARTS,
    ),
    Mutant(
        "what ran in a part that is undone counts",
        _BATCH,
        "        part = replace(run.part(steps), blamed",
        "        part = replace(part, blamed",
        _PARTS,
    ),
    Mutant(
        "COMMIT does not wait for the disk when one passes and the next one fails",
        _RETRIES,
        "apart: bool, flush: bool = True",
        "apart: bool, flush: bool = False",
        f"{_RETRIED} -k disk",
    ),
    Mutant(
        "two bad messages that are tried again are an outage",
        _TROUBLES,
        "            if self.streak.failed:\n                self.streak.failed.append(failed.message.id)\n",
        "            self._note(failed.message.key, failed.message.id, ok=False)\n        if self.streak.is_outage:\n"
        '            self.outage = Outage("")\n',
        "tests/unit/consumer/test_verdicts.py",
    ),
    Mutant(
        "an outage takes attempts",
        _LOOP,
        "            self._held.forgive(troubles.over())\n",
        "            troubles.over()\n",
        f"{_HARD} -k outage",
    ),
    Mutant(
        "nobody looks for what has become the first of its key",
        _RETRIES,
        "            found += ids\n",
        "",
        f"{_RETRIED} -k discards",
    ),
    Mutant(
        "ids of messages that were left for the next time are kept",
        _BATCH,
        "            self._inbox.release(run.new)\n",
        "            pass\n",
        f"{_FAILING} -k too_long",
    ),
    Mutant(
        "the ids of held messages are pruned",
        "consumer/txbox/consumer/prune.sql",
        "        AND NOT EXISTS (",
        "        AND true OR NOT EXISTS (",
        "tests/integration/consumer/test_prune.py",
    ),
    Mutant(
        "a row is run and stays",
        _RETRIES,
        "                if ended:\n                    self._held.done([row.message_id])\n",
        "                pass\n",
        f"{_RETRIED} -k passes",
    ),
)
