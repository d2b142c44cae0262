"""What can be wrong with the schema.

SchemaError
├── NewerDatabase      the database was migrated by a newer txbox
├── EditedMigration    a migration that already ran was changed afterwards
├── SchemaMissing      the tables are not there, or not all of them
├── SchemaBusy         others use the tables; nothing was changed
├── Unpartitionable    somebody made of the outbox what its partitions could not have
└── Unadoptable        a table's rows cannot all become messages
"""

from collections.abc import Sequence

__all__ = [
    "EditedMigration",
    "NewerDatabase",
    "SchemaBusy",
    "SchemaError",
    "SchemaMissing",
    "Unadoptable",
    "Unpartitionable",
]


class SchemaError(Exception):
    """The schema in the database does not fit this txbox."""


class NewerDatabase(SchemaError):
    """The database holds migrations that this txbox does not know: a newer one was here. Upgrade this one."""

    def __init__(self, schema: str, found: int, known: int) -> None:
        self.found, self.known = found, known
        super().__init__(
            f"schema {schema!r} is at version {found}, this txbox knows versions up to {known}: "
            "a newer txbox migrated it. Upgrade txbox here."
        )


class EditedMigration(SchemaError):
    """A migration that ran here has another text than the one of the same number that is installed."""

    def __init__(self, schema: str, version: int, name: str) -> None:
        self.version, self.name = version, name
        super().__init__(
            f"migration {version:04} ({name}) of schema {schema!r} was edited after it ran: "
            "its checksum in the ledger differs. Reinstall txbox; never edit a migration, add a new one."
        )


class SchemaMissing(SchemaError):
    """The tables are not there, or older than this txbox needs. Run `txbox db migrate`."""

    def __init__(self, schema: str, found: int, needed: int) -> None:
        self.found, self.needed = found, needed
        have = f"is at version {found}" if found else "is not there"
        super().__init__(f"schema {schema!r} {have}, version {needed} is needed. Run: txbox db migrate")


class SchemaBusy(SchemaError):
    """Others use the tables for longer than writers may be held up. What was not done yet is as it was."""

    def __init__(self, schema: str, patience: float, users: Sequence[str]) -> None:
        self.users = tuple(users)
        who = "; ".join(users) or "somebody who has gone meanwhile"
        super().__init__(
            f"tables of schema {schema!r} are in use, and in {patience:g} s there was no moment to change them: {who}. "
            "What was not done yet is as it was. End those transactions, or run it again"
        )


class Unpartitionable(SchemaError):
    """Something hangs on the outbox that a table of partitions would not take over."""

    def __init__(self, schema: str, obstacles: Sequence[str]) -> None:
        self.obstacles = tuple(obstacles)
        super().__init__(
            f"the outbox of schema {schema!r} cannot be partitioned with {', '.join(obstacles)}: drop that first, and "
            "make it anew afterwards if it is still wanted. Nothing was changed"
        )


class Unadoptable(SchemaError):
    """A row of the table might not become a message: its writer would fail. Say more of it, or change it."""

    def __init__(self, table: str, why: str) -> None:
        self.table = table
        super().__init__(f"{table} cannot be adopted: {why}. Nothing was changed")
