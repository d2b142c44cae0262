"""SQL files, their statements by name, and the schema's name in them."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from txbox.schema import Statements
from txbox.schema.statements import render


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package with SQL files of the test's own."""
    folder = tmp_path / "some_statements"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "good.sql").write_text(
        "-- Of what it is about.\n\n-- name: one\n-- Why.\nSELECT 1;\n\n-- name: two\nSELECT '{{}}', {schema}.t;\n"
    )
    (folder / "stray.sql").write_text("SELECT 0;\n-- name: one\nSELECT 1;\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield folder.name
    sys.modules.pop(folder.name, None)


def test_statements_are_found_by_name_and_rendered_for_a_schema(package: str) -> None:
    statements = Statements(package, "good.sql", "My-Schema")
    assert dict(statements) == {"one": b"-- Why.\nSELECT 1", "two": b"SELECT '{}', \"My-Schema\".t"}
    assert len(statements) == 2


def test_an_unknown_name_is_a_key_error(package: str) -> None:
    with pytest.raises(KeyError, match="three"):
        Statements(package, "good.sql", "txbox")["three"]


def test_a_statement_before_any_name_is_refused(package: str) -> None:
    with pytest.raises(ValueError, match=r"stray\.sql"):
        Statements(package, "stray.sql", "txbox")


@pytest.mark.parametrize(("schema", "quoted"), [("txbox", '"txbox"'), ('a"b', '"a""b"'), ("; DROP", '"; DROP"')])
def test_a_schemas_name_is_always_quoted(schema: str, quoted: str) -> None:
    assert render("{schema}.t", schema).decode() == f"{quoted}.t"
