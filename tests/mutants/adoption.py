"""Mutants of adopted tables."""

from tests.mutants.table import Mutant

_SQL = "schema/txbox/schema/adoption.sql"
_CODE = "schema/txbox/schema/adoption.py"
_TESTS = "tests/integration/schema/test_adopt.py"

ADOPTION = (
    Mutant(
        "a row that ON CONFLICT passes over is a message",
        _SQL,
        "txbox_adopt AFTER INSERT",
        "txbox_adopt BEFORE INSERT",
        f"{_TESTS} -k wherever_it_goes",
    ),
    Mutant("writers need rights on the outbox", _SQL, " SECURITY DEFINER", "", f"{_TESTS} -k need_no_right"),
    Mutant(
        "anybody may hang the function on a table of theirs",
        _SQL,
        "REVOKE ALL ON FUNCTION {function}() FROM PUBLIC;",
        "SELECT;",
        f"{_TESTS} -k need_no_right",
    ),
    Mutant(
        "the trigger runs as whoever adopted",
        _SQL,
        "ALTER FUNCTION {function}() OWNER TO {owner};",
        "SELECT;",
        f"{_TESTS} -k runs_as_the_outboxs_owner",
    ),
    Mutant(
        "a superuser's rights are lent to the table's owner",
        _CODE,
        "if outbox.super and table.owner != outbox.owner:",
        "if False:",
        f"{_TESTS} -k runs_as_the_outboxs_owner",
    ),
    Mutant(
        "a type's own cast runs with the outbox's owner's rights",
        _CODE,
        "pg_catalog.pg_typeof({}) NOT IN ({})",
        "{} IS NULL AND NULL IN ({})",
        f"{_TESTS} -k cast_of_the_tables_owner",
    ),
    Mutant(
        "a table takes another's function",
        _SQL,
        "t.tgrelid <> %(oid)s::oid",
        "false",
        f"{_TESTS} -k function_is_anothers",
    ),
    Mutant(
        "text goes through bytea's own way of writing",
        _CODE,
        "convert_to({}::text, 'UTF8')",
        "({}::text)::bytea",
        f"{_TESTS} -k debezium_would_send",
    ),
    Mutant(
        "a time without a zone is the session's",
        _CODE,
        "{} AT TIME ZONE 'UTC'",
        "{}::timestamptz",
        f"{_TESTS} -k time_trace",
    ),
    Mutant(
        "a nullable type is taken",
        _CODE,
        "if not any(column.required for column in found):",
        "if False:",
        f"{_TESTS} -k fail_a_writer",
    ),
)
