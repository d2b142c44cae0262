"""The tables of txbox and the migrations that make them.

`migrate` brings a database up to date, `status` and `plan` say what it would do, `require` refuses an old one.
"""

from txbox.schema.errors import EditedMigration, NewerDatabase, SchemaError, SchemaMissing
from txbox.schema.migrations import Applied, Migration, Status, migrate, plan, require, status
from txbox.schema.statements import Statements

__all__ = [
    "Applied",
    "EditedMigration",
    "Migration",
    "NewerDatabase",
    "SchemaError",
    "SchemaMissing",
    "Statements",
    "Status",
    "migrate",
    "plan",
    "require",
    "status",
]
