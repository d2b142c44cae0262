"""Every mutant has its place in the code as it is: one that has none breaks nothing, and proves nothing."""

from pathlib import Path

import pytest

from tests.mutants.consumer import CONSUMER
from tests.mutants.cursor import CURSOR
from tests.mutants.handled import HANDLED
from tests.mutants.partitions import PARTITIONS
from tests.mutants.table import MUTANTS, Mutant

ROOT = Path(__file__).parent.parent.parent
EVERY = [*CONSUMER, *CURSOR, *HANDLED, *MUTANTS, *PARTITIONS]


@pytest.mark.parametrize("mutant", EVERY, ids=lambda mutant: mutant.name)
def test_a_mutant_has_one_place(mutant: Mutant):
    assert (ROOT / mutant.file).read_text().count(mutant.old) == 1
