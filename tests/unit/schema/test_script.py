"""The SQL that others run has nothing in it that a driver or a tool takes for a parameter."""

import pytest
from sqlalchemy import text

from txbox.schema import Migration, script, sql


def test_nothing_looks_like_a_parameter() -> None:
    assert "%" not in sql()
    assert text(sql())._bindparams == {}


def test_a_percent_sign_of_a_step_is_not_in_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    step = Migration(version=1, name="says", text="DO $$ BEGIN RAISE NOTICE '% and %', 1, 2; END $$")
    monkeypatch.setattr(script, "known", lambda: (step,))
    assert "%" not in sql()
    assert "'<percent> and <percent>'" in sql()
    assert step.checksum in sql()


@pytest.mark.parametrize("name", ["a$txbox$b", "$txbox_1$", "a$fn$b", "a%b"])
def test_a_name_that_would_break_out_of_the_text_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="in its name cannot be used"):
        sql(name)
