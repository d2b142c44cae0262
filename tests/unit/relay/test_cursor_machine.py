"""The cursor against every interleaving that a model of PostgreSQL allows; and that broken cursors are caught by it."""

from collections.abc import Sequence
from random import Random
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tests.unit.relay.cursor_mutants import MUTANTS, Reader
from tests.unit.relay.interleaving import Interleaving

# Deterministic: a run that was green stays green. Hypothesis finds the shortest way to a fault, random walks cover
# forty times the ground in the same time, and evenly.
_SETTINGS: Final = settings(
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    max_examples=120,
    stateful_step_count=40,
)
_WALKS: Final = 4000
_STEPS: Final = 80


class CursorMachine(RuleBasedStateMachine):
    """Whatever Hypothesis chooses."""

    def __init__(self) -> None:
        super().__init__()
        self.interleaving = Interleaving(Reader, lambda options: options[0])

    @rule(data=st.data())
    def step(self, data: st.DataObject) -> None:
        self.interleaving.choose = lambda options: data.draw(st.sampled_from(options))
        note(self.interleaving.step())

    def teardown(self) -> None:
        self.interleaving.choose = lambda options: options[0]
        self.interleaving.finish()


def walk(reader_class: type[Reader]) -> None:
    """Random interleavings, each to its end."""
    for seed in range(_WALKS):
        interleaving = Interleaving(reader_class, choices(seed))
        for _ in range(_STEPS):
            interleaving.step()
        interleaving.finish()


def choices(seed: int) -> Any:
    random = Random(seed)

    def choose(options: Sequence[Any]) -> Any:
        return options[int(random.random() * len(options))]

    return choose


def test_nothing_is_lost_repeated_or_misordered_whatever_the_interleaving():
    run_state_machine_as_test(CursorMachine, settings=_SETTINGS)


def test_nothing_is_lost_repeated_or_misordered_in_thousands_of_random_interleavings():
    walk(Reader)


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_cursor_with_one_rule_broken_is_caught(mutant: type[Reader]):
    with pytest.raises(AssertionError):
        walk(mutant)
