"""Other people's outbox tables, adopted: a row that is inserted there is a message here, in the same transaction.

A trigger copies it. The writers change nothing, and the relay has nothing new to rely on: its rows, its sequence and
its locks are those of the outbox, so what it promises holds for adopted rows as for all others. A row that is deleted
again before the commit, as Debezium's extension for Quarkus does, is a message all the same.

    theirs                        ours
    id uuid                       id            as it is, so that consumers know a message by the id that it always had
    aggregatetype, aggregateid    the same      as text
    type                          type
    payload jsonb, json, text     payload       its text in UTF-8; bytea as it is
    tracingspancontext            headers       the traceparent in it, if there is one

Those are the names of Debezium's EventRouter; `Adoption` says others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from psycopg import Connection, sql
from psycopg.pq import TransactionStatus
from psycopg.rows import class_row, scalar_row

from txbox.schema.errors import SchemaError, SchemaMissing, Unadoptable
from txbox.schema.locks import PATIENCE, keep_short, patiently
from txbox.schema.statements import compose
from txbox.schema.topics import is_topic

__all__ = ["Adoption", "adopt", "adoption_sql"]

_FILE: Final = "adoption.sql"
#: the outbox's columns that a row may bring
_OURS: Final = ("id", "aggregatetype", "aggregateid", "type", "payload", "headers", "topic", "created_at")
_TEXT: Final = frozenset({"text", "character varying", "character", "name"})
_JSON: Final = frozenset({"json", "jsonb"})
#: what Debezium's extension for Quarkus writes there: java.util.Properties
_TRACE: Final = ("tracingspancontext", r"(?n)^traceparent\s*[=:]\s*([0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2})")
#: the longest name that PostgreSQL does not cut
_LONGEST: Final = 63


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """What of a table is what of a message. What is not said is taken from columns of the outbox's own names."""

    #: columns by the outbox's names for them; an empty one: none
    columns: Mapping[str, str] = field(default_factory=dict)
    #: columns to be sent as headers, by the headers' names
    headers: Mapping[str, str] = field(default_factory=dict)
    #: where rows go that name no topic themselves
    topic: str | None = None
    #: of the payload; by default JSON, and bytes for a bytea
    content_type: str | None = None
    #: an SQL condition: which rows that are there already are messages too, and the column of their order
    backlog: str | None = None
    order: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    """Fields are the columns of `columns` in adoption.sql."""

    name: str
    type: str
    required: bool
    #: one of PostgreSQL's own types, whose casts nobody else can make
    builtin: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """Fields are the columns of `table` in adoption.sql, and its columns by name."""

    oid: int
    schema: str
    name: str
    kind: str
    owner: str
    super: bool
    columns: dict[str, _Column] = field(default_factory=dict)


def adoption_sql(conn: Connection[Any], table: str, schema: str = "txbox", adoption: Adoption | None = None) -> str:
    """Return the SQL that adopts `table`, for one transaction; nothing is changed. Raises Unadoptable."""
    return "\n\n".join(part.as_string(conn) + ";" for part in _script(conn, _find(conn, table), schema, adoption))


def adopt(
    conn: Connection[Any],
    table: str,
    schema: str = "txbox",
    adoption: Adoption | None = None,
    *,
    patience: float = PATIENCE,
) -> None:
    """Adopt `table`, and COMMIT. Done again it takes what is said then.

    Rows whose transaction commits later are messages, those before are not, except `adoption.backlog`; none is both.
    Writers wait for less than a second at a time, and for as long as it takes to copy a backlog. Raises Unadoptable,
    SchemaBusy (then nothing was done), SchemaError when `conn` is in a transaction, psycopg.Error.
    """
    if conn.info.transaction_status != TransactionStatus.IDLE:
        raise SchemaError("adopt commits: call it on a connection that is in no transaction")

    def attempt(share: float) -> None:
        with conn.transaction():
            conn.execute(compose(__package__, _FILE, "lock", table=sql.Identifier(found.schema, found.name)))
            keep_short(conn, found.schema, share)
            for statement in statements:
                conn.execute(statement)

    with conn.transaction():
        found = _find(conn, table)
        statements = _script(conn, found, schema, adoption)
    patiently(conn, found.schema, attempt, patience=patience)


def _find(conn: Connection[Any], name: str) -> _Table:
    """Return the table. Raises Unadoptable."""
    with conn.cursor(row_factory=class_row(_Table)) as cursor:
        table = cursor.execute(compose(__package__, _FILE, "table"), {"table": name}).fetchone()
    if table is None or table.kind not in ("r", "p"):
        raise Unadoptable(name, "there is no such table" if table is None else "it is no table")
    with conn.cursor(row_factory=class_row(_Column)) as cursor:
        found = cursor.execute(compose(__package__, _FILE, "columns"), {"oid": table.oid}).fetchall()
    table.columns.update({column.name: column for column in found})
    return table


def _script(conn: Connection[Any], table: _Table, schema: str, adoption: Adoption | None) -> Sequence[sql.Composed]:
    """Return the statements of an adoption. Raises Unadoptable."""
    adoption = adoption or Adoption()
    function = f"adopt_{table.schema}_{table.name}"
    if (table.schema, table.name) == (schema, "outbox"):
        raise Unadoptable(table.name, "it is txbox's own")
    if len(function.encode()) > _LONGEST:
        raise Unadoptable(table.name, f"its name is too long: {function} has to be a function's name")
    # a.b_c and a_b.c would share one
    with conn.cursor(row_factory=scalar_row) as cursor:
        name = sql.Identifier(schema, function).as_string(conn) + "()"
        query = compose(__package__, _FILE, "others")
        if others := cursor.execute(query, {"function": name, "oid": table.oid}).fetchall():
            raise Unadoptable(
                table.name,
                f"{name} is the function of {', '.join(others)}, which was adopted: rename one of the tables",
            )
    outbox = _outbox(conn, schema)
    if outbox.super and table.owner != outbox.owner:
        raise Unadoptable(
            table.name,
            f"its owner {table.owner} would have a trigger run with the rights of the superuser {outbox.owner}, who "
            f"owns {schema}.outbox: ALTER SCHEMA, ALTER TABLE .. OWNER TO a role that is none, for all in {schema}",
        )
    reader = _Reader(table, schema, adoption)
    values = reader.values()
    parts: dict[str, sql.Composable] = {
        "function": sql.Identifier(schema, function),
        "outbox": sql.Identifier(schema, "outbox"),
        "table": sql.Identifier(table.schema, table.name),
        "columns": sql.SQL(", ").join(map(sql.Identifier, values)),
        "values": sql.SQL(", ").join(values.values()),
        "owner": sql.Identifier(outbox.owner),
        "altered": reader.altered(),
    }
    # a column's name is its owner's to choose, and would end the function's quotes here
    if any("$adopt$" in part.as_string(conn) for part in parts.values()):
        raise Unadoptable(table.name, "$adopt$ in a name cannot be used: rename it")
    names = ["function", "revoke", "owner", "trigger"]
    if adoption.backlog is not None:
        if adoption.order not in table.columns:
            raise Unadoptable(table.name, "a backlog needs the column of its order: --order COLUMN")
        # SQL as the operator gave it: a person who could run any other as well
        parts |= {"backlog": sql.SQL(f"({adoption.backlog})"), "order": sql.Identifier("new", adoption.order)}
        names += ["guard", "backlog"]
    return [compose(__package__, _FILE, name, **parts) for name in names]


def _outbox(conn: Connection[Any], schema: str) -> _Table:
    """Return the outbox, without its columns. Raises SchemaMissing."""
    with conn.cursor(row_factory=class_row(_Table)) as cursor:
        name = sql.Identifier(schema, "outbox").as_string(conn)
        found = cursor.execute(compose(__package__, _FILE, "table"), {"table": name}).fetchone()
    if found is None:
        raise SchemaMissing(schema, 0, 1)
    return found


class _Reader:
    """Expressions over a row of the table, which is called `new` in the trigger and in the backlog alike."""

    def __init__(self, table: _Table, schema: str, adoption: Adoption) -> None:
        self._table, self._adoption = table, adoption
        #: the columns that are read
        self._read: dict[str, _Column] = {}
        #: what stands for NULL, which the outbox's own defaults do not
        self._defaults: dict[str, sql.Composable] = {
            "id": sql.SQL("{}()").format(sql.Identifier(schema, "uuid7")),
            "created_at": sql.SQL("clock_timestamp()"),
        }
        if adoption.topic is not None:
            if not is_topic(adoption.topic):
                raise Unadoptable(
                    table.name,
                    f"{adoption.topic!r} is no name for a topic: use 1 to 249 letters, digits, '.', '_' or '-', "
                    "and not '.' or '..'",
                )
            self._defaults["topic"] = sql.Literal(adoption.topic)
        if unknown := set(adoption.columns) - set(_OURS):
            raise Unadoptable(table.name, f"the outbox has no column {', '.join(sorted(unknown))}: {', '.join(_OURS)}")
        self._columns = {ours: found for ours in _OURS if (found := self._column(ours))}

    def values(self) -> dict[str, sql.Composable]:
        """Return an expression for each of the outbox's columns that a row brings. Raises Unadoptable."""
        self._require_type_and_route()
        values = {ours: self._value(ours, column) for ours, column in self._columns.items() if ours != "headers"}
        for ours, default in self._defaults.items():
            if ours in values and not self._columns[ours].required:
                values[ours] = sql.SQL("coalesce({}, {})").format(values[ours], default)
        if self._adoption.topic is not None:
            values.setdefault("topic", self._defaults["topic"])
        if headers := self._headers():
            values["headers"] = headers
        return values

    def altered(self) -> sql.Composable:
        """Return the condition that a column is of another type than those that `values` read."""
        checks = [
            sql.SQL("pg_catalog.pg_typeof({}) NOT IN ({})").format(
                sql.Identifier("new", column.name),
                # between texts nothing changes: the column may have become a longer one
                sql.SQL(", ").join(
                    sql.SQL("{}::regtype").format(sql.Literal(type_))
                    for type_ in (sorted(_TEXT) if column.type in _TEXT else [column.type])
                ),
            )
            for column in self._read.values()
        ]
        return sql.SQL(" OR ").join(checks)

    def _theirs(self, column: _Column) -> sql.Composable:
        """Return the column of the row. Raises Unadoptable for a type whose casts are somebody's code."""
        if not column.builtin:
            raise Unadoptable(
                self._table.name,
                f"{column.name} is {column.type}, which is none of PostgreSQL's own types, and its cast would run with "
                f"the rights of the outbox's owner: ALTER TABLE {self._table.name} ALTER {column.name} TYPE text",
            )
        self._read[column.name] = column
        return sql.Identifier("new", column.name)

    def _column(self, ours: str) -> _Column | None:
        """Return the column that one of ours comes from: the one that was named, else one of the same name."""
        named = self._adoption.columns.get(ours)
        if named is None:
            found = self._table.columns.get(ours)
            if ours == "id" and found is not None and found.type != "uuid":
                raise Unadoptable(
                    self._table.name,
                    f"its id is {found.type}, and a message's is a UUID: --column id= for new ids"
                    + (", or --column id=id if every text there is a UUID" if found.type in _TEXT else ""),
                )
            return found
        return self._named(named) if named else None

    def _named(self, name: str) -> _Column:
        if name not in self._table.columns:
            raise Unadoptable(self._table.name, f"it has no column {name}: {', '.join(self._table.columns)}")
        return self._table.columns[name]

    def _require_type_and_route(self) -> None:
        """Raise Unadoptable unless each row can be published: a trigger that refuses one fails its writer."""
        self._require("nothing says what a row is: --column type=..", "type")
        if self._adoption.topic is None:
            self._require("nothing says where its rows go: --topic, or --column topic=..", "topic", "aggregatetype")

    def _require(self, missing: str, *ours: str) -> None:
        """Raise Unadoptable unless one of these is there in every row."""
        found = [self._columns[name] for name in ours if name in self._columns]
        if not found:
            raise Unadoptable(self._table.name, missing)
        if not any(column.required for column in found):
            raise Unadoptable(
                self._table.name,
                f"{found[0].name} may be null, and a row without it could not be published: "
                f"ALTER TABLE {self._table.name} ALTER COLUMN {found[0].name} SET NOT NULL",
            )

    def _value(self, ours: str, column: _Column) -> sql.Composable:
        """Return the expression for one of our columns."""
        theirs = self._theirs(column)
        match ours, column.type:
            case ("id", "uuid") | ("payload", "bytea") | ("created_at", "timestamp with time zone"):
                return theirs
            case "id", type_ if type_ in _TEXT:
                return sql.SQL("{}::uuid").format(theirs)
            case "created_at", "timestamp without time zone":
                return sql.SQL("{} AT TIME ZONE 'UTC'").format(theirs)
            case "created_at", "bigint":
                return sql.SQL("to_timestamp({} / 1000.0)").format(theirs)
            case (("id" | "created_at"), type_):
                raise Unadoptable(self._table.name, f"{column.name} is {type_}, which is no {ours}")
            case "payload", _:
                return sql.SQL("convert_to({}::text, 'UTF8')").format(theirs)
        return sql.SQL("{}::text").format(theirs)

    def _headers(self) -> sql.Composable | None:
        """Return the expression for the headers; None for none. A header of a column that is null is not sent."""
        named: dict[str, sql.Composable] = {}
        if content_type := self._content_type():
            named["content-type"] = sql.Literal(content_type)
        if _TRACE[0] in self._table.columns:
            named["traceparent"] = sql.SQL("substring({}::text FROM {})").format(
                self._theirs(self._table.columns[_TRACE[0]]), sql.Literal(_TRACE[1])
            )
        for name, column in self._adoption.headers.items():
            named[name] = sql.SQL("{}::text").format(self._theirs(self._named(column)))
        pairs = [sql.SQL("{}, {}").format(sql.Literal(name), value) for name, value in named.items()]
        made = [sql.SQL("jsonb_strip_nulls(jsonb_build_object({}))").format(sql.SQL(", ").join(pairs))] if pairs else []
        parts = [*self._own_headers(), *made]
        return sql.SQL("nullif({}, '{{}}')").format(sql.SQL(" || ").join(parts)) if parts else None

    def _own_headers(self) -> list[sql.Composed]:
        column = self._columns.get("headers")
        if column is None:
            return []
        if column.type not in _JSON:
            raise Unadoptable(self._table.name, f"{column.name} is {column.type}, and headers are a JSON object")
        return [sql.SQL("coalesce({}::jsonb, '{{}}')").format(self._theirs(column))]

    def _content_type(self) -> str | None:
        """Return the content type to be sent; None for JSON, which is what the relay says of rows that say nothing."""
        payload = self._columns.get("payload")
        bytes_ = payload is not None and payload.type == "bytea"
        return self._adoption.content_type or ("application/octet-stream" if bytes_ else None)
