"""Rules about who may do what, about SQL that others run, and about the doctor; and how each may be broken."""

from tests.mutants.table import Mutant

__all__ = ["ROLES"]

_SQL = "schema/txbox/schema/roles.sql"
_TESTS = "tests/integration/schema/test_roles.py"

ROLES = (
    Mutant(
        "a writer may choose a seq",
        _SQL,
        "GRANT INSERT (id, aggregatetype",
        "GRANT INSERT (seq, id, aggregatetype",
        f"{_TESTS} -k txbox_writer",
    ),
    Mutant(
        "a viewer reads payloads",
        _SQL,
        "GRANT SELECT (seq, id, aggregatetype, aggregateid, type, topic,",
        "GRANT SELECT (seq, id, aggregatetype, aggregateid, type, payload, topic,",
        f"{_TESTS} -k txbox_viewer",
    ),
    Mutant(
        "two who make roles do not expect each other",
        _SQL,
        "WHEN duplicate_object OR unique_violation THEN NULL;",
        "WHEN division_by_zero THEN NULL;",
        f"{_TESTS} -k just_made",
    ),
    Mutant(
        "what a role has too much is left to it",
        _SQL,
        "REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM PUBLIC, txbox_writer,",
        "REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM",
        f"{_TESTS} -k taken_from_it",
    ),
    Mutant(
        "functions are left to the public",
        _SQL,
        "REVOKE ALL ON ALL FUNCTIONS IN SCHEMA {schema} FROM PUBLIC, ",
        "REVOKE ALL ON ALL FUNCTIONS IN SCHEMA {schema} FROM ",
        f"{_TESTS} -k public",
    ),
    Mutant(
        "who grants does not take turns",
        _SQL,
        "PERFORM pg_advisory_xact_lock(hashtextextended('txbox migrate ' || {literal}, 0));",
        "",
        f"{_TESTS} -k at_once_while_others_write",
    ),
    Mutant(
        "the SQL for others runs a step again",
        "schema/txbox/schema/script.sql",
        "ELSIF NOT EXISTS (SELECT FROM {schema}.migration WHERE version = {version}) THEN",
        "ELSE",
        "tests/integration/schema/test_script.py -k from_any_version",
    ),
    Mutant(
        "the SQL for others notes nothing",
        "schema/txbox/schema/script.sql",
        "INSERT INTO {schema}.migration (version, name, checksum) VALUES ({version}, {step}, {checksum});",
        "",
        "tests/integration/schema/test_script.py -k from_any_version",
    ),
)
