"""`txbox db adopt`: rows of somebody else's outbox table are messages."""

import click
from psycopg import Connection

from txbox.cli.options import Values, settings
from txbox.cli.output import say
from txbox.cli.settings import Duration
from txbox.daemon import connect
from txbox.schema import Adoption, adoption_sql, require
from txbox.schema import adopt as adopt_table

__all__ = ["adopt"]


class _Pair(click.ParamType[tuple[str, str]]):
    """NAME=COLUMN."""

    name = "pair"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        left, equals, right = value.partition("=")
        if not left or not equals:
            self.fail(f"{value!r} is no NAME=COLUMN", param, ctx)
        return left, right


@click.command()
@click.argument("table")
@settings("database")
@click.option(
    "--column",
    "columns",
    metavar="OURS=THEIRS",
    type=_Pair(),
    multiple=True,
    help="Where a column of the outbox comes from, if the names differ; OURS= for nowhere.",
)
@click.option(
    "--header", "headers", metavar="NAME=COLUMN", type=_Pair(), multiple=True, help="A column to be sent as a header."
)
@click.option("--topic", help="Where all rows go, if the table has no column for it.")
@click.option(
    "--content-type", help="Of the payload.  [default: application/json, of a bytea application/octet-stream]"
)
@click.option("--backlog", metavar="CONDITION", help="SQL: which rows that are there already are messages too.")
@click.option("--order", metavar="COLUMN", help="The order of the backlog.")
@click.option("--apply", is_flag=True, help="Do it; otherwise its SQL is printed.")
@click.option("--wait", metavar="DURATION", type=Duration(), default="60s", show_default=True, help="How long to try.")
def adopt(
    table: str,
    values: Values,
    columns: tuple[tuple[str, str], ...],
    headers: tuple[tuple[str, str], ...],
    topic: str | None,
    content_type: str | None,
    backlog: str | None,
    order: str | None,
    apply: bool,
    wait: float,
) -> None:
    """Make messages of the rows that services insert into TABLE, an outbox that is not ours.

    A trigger copies each row into the outbox, in its transaction: services change nothing. Columns have the names of
    Debezium's outbox unless --column says others: docs/coming-from-debezium.md. Prints the SQL, for one transaction,
    unless --apply.
    """
    adoption = Adoption(
        columns=dict(columns),
        headers=dict(headers),
        topic=topic,
        content_type=content_type,
        backlog=backlog,
        order=order,
    )
    database = values.database()
    with connect(Connection, database, "db adopt") as conn:
        require(conn, database.schema)
        if not apply:
            click.echo(adoption_sql(conn, table, database.schema, adoption))
            return
        adopt_table(conn, table, database.schema, adoption, patience=wait)
    say(f"what is inserted into {table} from now on is in the outbox too")
