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
    Mutant(
        "the doctor asks no guard",
        "doctor/txbox/doctor/doctor.py",
        "facts = Ledger(self._conn, self._database, self._config.name).inspect()",
        "facts = Ledger(self._conn, self._database, self._config.name).facts()",
        "tests/integration/doctor/test_database.py -k each_guard",
    ),
    Mutant(
        "the probe's topic goes while a relay may send to it",
        "doctor/txbox/doctor/probe.py",
        "if not passed:",
        "if False:",
        "tests/integration/doctor/test_probe.py -k another_name",
    ),
    Mutant(
        "the probe sends what it may not take back",
        "doctor/txbox/doctor/probe.py",
        "        with self._conn.transaction(force_rollback=True):  # who may not clean up must not begin\n",
        "        if False:\n",
        "tests/integration/doctor/test_probe.py -k may_not_write",
    ),
    Mutant(
        "the doctor looks at no advertised address",
        "doctor/txbox/doctor/doctor.py",
        "return judge_brokers(self._brokers, unreachable(self._brokers))",
        "return judge_brokers(self._brokers, {})",
        "tests/integration/doctor/test_cluster.py -k advertised",
    ),
    Mutant(
        "a doctor that looks makes topics",
        "doctor/txbox/doctor/doctor.py",
        "self._config = replace(config, create_topics=False)",
        "self._config = replace(config)",
        "tests/integration/doctor/test_cluster.py -k topics_that_are_missing",
    ),
)
