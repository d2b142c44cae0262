"""What must be caught about transactions that are SQLAlchemy's, Django's or asyncpg's."""

from tests.mutants.table import Mutant

__all__ = ["DOORS"]

_CONNECTIONS = "outbox/txbox/outbox/connections.py"
_SQLALCHEMY = "consumer/txbox/consumer/sqlalchemy.py"
_DJANGO = "consumer/txbox/consumer/django.py"
_DOORS = "tests/integration/outbox/test_doors.py"
_FRAMEWORKS = "tests/integration/consumer/test_frameworks.py"
_ALONE = "tests/integration/consumer/test_sqlalchemy.py"
_HOOKS = "tests/integration/consumer/test_django.py -k hook"
_PUBLISH = "schema/txbox/schema/migrations/0004_publish.sql"
_PUBLISHED = "tests/integration/schema/test_publish.py"

DOORS = (
    Mutant(
        "a Session is not flushed before its message",
        _CONNECTIONS,
        "        session.flush()\n",
        "",
        f"{_DOORS} -k first",
    ),
    Mutant(
        "a message is committed alone by an engine in autocommit",
        _CONNECTIONS,
        'bool(getattr(pooled.dbapi_connection, "autocommit", False))',
        "False",
        f"{_DOORS} -k outside",
    ),
    Mutant(
        "a message is committed alone by Django",
        _CONNECTIONS,
        "if not connection.in_atomic_block and connection.get_autocommit():",
        "if False:",
        f"{_DOORS} -k outside",
    ),
    Mutant("asyncpg's failed transaction is not told", _CONNECTIONS, "== _FAILED:", '== "":', f"{_DOORS} -k failed"),
    Mutant(
        "UUIDs are left to the driver", _CONNECTIONS, "return str(parameter)", "return parameter", f"{_DOORS} -k column"
    ),
    Mutant(
        "what a handler leaves in its Session is lost", _SQLALCHEMY, "            session.flush()\n", "", _FRAMEWORKS
    ),
    Mutant(
        "a Session's commit does nothing, in silence",
        _SQLALCHEMY,
        '        if self.lent:\n            raise TransactionControl("session.commit()", _BLOCK)\n',
        "        return\n",
        f"{_FRAMEWORKS} -k ends",
    ),
    Mutant(
        "a Session's rollback does nothing, in silence",
        _SQLALCHEMY,
        "            if self._dialect.rolled_back:",
        "            if False:",
        f"{_ALONE} -k rollback",
    ),
    Mutant(
        "a flush that failed is told as a rollback",
        _SQLALCHEMY,
        "if sys.exc_info()[1] is None:",
        "if True:",
        f"{_FRAMEWORKS} -k its_own",
    ),
    Mutant(
        "a Session's block that was left open counts as left",
        _SQLALCHEMY,
        "if session.in_nested_transaction():",
        "if False:",
        f"{_FRAMEWORKS} -k left_open",
    ),
    Mutant(
        "a framework's deadlock is its message's fault",
        "consumer/txbox/consumer/verdicts.py",
        "if type(error).__module__.startswith(_WRAPPING) and",
        "if False and",
        f"{_FRAMEWORKS} -k nobodys",
    ),
    Mutant(
        "hooks run of what was undone",
        _DJANGO,
        "del self._connection.run_on_commit[self._hooks :]",
        "pass",
        _HOOKS,
    ),
    Mutant("hooks run of what was rolled back", _DJANGO, "in hooks if committed else ():", "in hooks:", _HOOKS),
    Mutant(
        "Django's connection may be closed",
        _DJANGO,
        "            if conn.guarded:",
        "            if False:",
        f"{_FRAMEWORKS} -k ends",
    ),
    Mutant("a payload is parsed and written anew", _PUBLISH, "payload::text,", "payload::jsonb::text,", _PUBLISHED),
    Mutant("anybody may publish", _PUBLISH, "SECURITY INVOKER", "SECURITY DEFINER", f"{_PUBLISHED} -k right"),
    Mutant(
        "a caller's functions run in publish",
        _PUBLISH,
        " SET search_path = pg_catalog, pg_temp",
        "",
        f"{_PUBLISHED} -k search_path",
    ),
)
