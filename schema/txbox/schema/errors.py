"""What can be wrong with the schema.

SchemaError
├── NewerDatabase      the database was migrated by a newer txbox
├── EditedMigration    a migration that already ran was changed afterwards
└── SchemaMissing      the tables are not there, or not all of them
"""

__all__ = ["EditedMigration", "NewerDatabase", "SchemaError", "SchemaMissing"]


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
