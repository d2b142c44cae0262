"""Every mutant has its place in the code as it is: one that has none breaks nothing, and proves nothing."""

from pathlib import Path

import pytest

from tests.mutants.__main__ import ALL
from tests.mutants.table import Mutant

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("mutant", ALL, ids=lambda mutant: mutant.name)
def test_a_mutant_has_one_place(mutant: Mutant):
    assert (ROOT / mutant.file).read_text().count(mutant.old) == 1
