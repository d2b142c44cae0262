"""The tables of txbox and the migrations that make them.

`migrate` brings a database up to date, `status` and `plan` say what it would do, `require` refuses an old one.
`sql` is the same for others to run, `roles` the rights of those who use the tables.
`partition` makes partitions of the outbox, `layout` says what it is made of. `adopt` makes messages of the rows of
somebody else's outbox table.
"""

from txbox.schema.adoption import Adoption, adopt, adoption_sql
from txbox.schema.errors import (
    EditedMigration,
    NewerDatabase,
    SchemaBusy,
    SchemaError,
    SchemaMissing,
    Unadoptable,
    Unpartitionable,
)
from txbox.schema.migrations import Applied, Migration, Status, migrate, plan, require, status
from txbox.schema.partitioning import drop, obstacles, partition
from txbox.schema.partitions import Layout, Part, Step, layout, next_step, planned
from txbox.schema.script import roles, sql
from txbox.schema.statements import Statements

__all__ = [
    "Adoption",
    "Applied",
    "EditedMigration",
    "Layout",
    "Migration",
    "NewerDatabase",
    "Part",
    "SchemaBusy",
    "SchemaError",
    "SchemaMissing",
    "Statements",
    "Status",
    "Step",
    "Unadoptable",
    "Unpartitionable",
    "adopt",
    "adoption_sql",
    "drop",
    "layout",
    "migrate",
    "next_step",
    "obstacles",
    "partition",
    "plan",
    "planned",
    "require",
    "roles",
    "sql",
    "status",
]
