"""Who gave a command."""

import os
from socket import gethostname

import pytest

from txbox.daemon import person


def test_a_person_is_named_with_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ada")
    assert person() == f"ada@{gethostname()}"


@pytest.mark.parametrize("error", [KeyError, OSError])
def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    def nobody() -> str:
        raise error("uid not found")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert person() == f"{os.getuid()}@{gethostname()}"
