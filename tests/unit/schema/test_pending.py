"""Which migrations are to be run, and the files that they come from."""

import re
from datetime import UTC, datetime
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txbox.schema import Applied, EditedMigration, Migration, NewerDatabase
from txbox.schema.migrations import known, pending

NOW = datetime(2024, 1, 1, tzinfo=UTC)
STEPS = tuple(Migration(version=n, name=f"step_{n}", text=f"SELECT {n}") for n in range(1, 8))


def applied(step: Migration, checksum: str | None = None) -> Applied:
    return Applied(version=step.version, name=step.name, checksum=checksum or step.checksum, applied_at=NOW)


@given(st.integers(0, len(STEPS)), st.integers(0, len(STEPS)))
def test_what_did_not_run_is_pending_in_order(ran: int, there: int) -> None:
    ledger = [applied(step) for step in STEPS[: min(ran, there)]]
    assert pending("txbox", STEPS[:there], ledger) == STEPS[min(ran, there) : there]


def test_a_ledger_beyond_the_steps_is_a_newer_database() -> None:
    with pytest.raises(NewerDatabase) as caught:
        pending("txbox", STEPS[:2], [applied(step) for step in STEPS[:4]])
    assert (caught.value.found, caught.value.known) == (4, 2)


def test_another_checksum_is_an_edited_migration() -> None:
    with pytest.raises(EditedMigration) as caught:
        pending("txbox", STEPS, [applied(STEPS[0]), applied(STEPS[1], "other")])
    assert (caught.value.version, caught.value.name) == (2, "step_2")


def test_files_are_named_and_numbered_without_gaps() -> None:
    names = sorted(file.name for file in resources.files("txbox.schema").joinpath("migrations").iterdir())
    names = [name for name in names if not name.startswith("__")]
    assert [name for name in names if not re.fullmatch(r"\d{4}_[a-z0-9_]+\.sql", name)] == []
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))
    assert [step.version for step in known()] == list(range(1, len(names) + 1))
