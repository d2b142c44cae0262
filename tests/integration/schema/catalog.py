"""What a schema holds, as PostgreSQL's own catalogs tell it."""

from typing import Any

from psycopg import Connection, sql

__all__ = ["catalog"]

#: each lists one kind of thing; the schema's own name is not part of any answer
_QUERIES = {
    "relations": """
        SELECT c.relname, c.relkind::text, c.relpersistence::text, c.reloptions::text, c.relrowsecurity
        FROM pg_class AS c WHERE c.relnamespace = %(schema)s::regnamespace ORDER BY 1, 2
    """,
    "columns": """
        SELECT c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity::text,
            a.attstorage::text, a.attcompression::text, pg_get_expr(d.adbin, d.adrelid)
        FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
        LEFT JOIN pg_attrdef AS d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
        WHERE c.relnamespace = %(schema)s::regnamespace AND a.attnum > 0 AND NOT a.attisdropped ORDER BY 1, 2
    """,
    "constraints": """
        SELECT c.conname, c.conrelid::regclass::text, pg_get_constraintdef(c.oid), c.convalidated
        FROM pg_constraint AS c WHERE c.connamespace = %(schema)s::regnamespace ORDER BY 2, 1
    """,
    "indexes": """
        SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = %(name)s ORDER BY 1, 2
    """,
    "views": """
        SELECT viewname, definition FROM pg_views WHERE schemaname = %(name)s ORDER BY 1
    """,
    "functions": """
        SELECT p.proname, pg_get_functiondef(p.oid)
        FROM pg_proc AS p WHERE p.pronamespace = %(schema)s::regnamespace ORDER BY 1, 2
    """,
    "sequences": """
        SELECT c.relname, s.seqtypid::regtype::text, s.seqstart, s.seqincrement, s.seqmax, s.seqmin, s.seqcache,
            s.seqcycle
        FROM pg_sequence AS s JOIN pg_class AS c ON c.oid = s.seqrelid
        WHERE c.relnamespace = %(schema)s::regnamespace ORDER BY 1
    """,
    "triggers": """
        SELECT c.relname, pg_get_triggerdef(t.oid) FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
        WHERE c.relnamespace = %(schema)s::regnamespace AND NOT t.tgisinternal ORDER BY 1, 2
    """,
    "comments": """
        SELECT c.relname, d.objsubid, d.description FROM pg_description AS d JOIN pg_class AS c ON c.oid = d.objoid
        WHERE c.relnamespace = %(schema)s::regnamespace ORDER BY 1, 2
    """,
    "rights": """
        SELECT c.relname, c.relacl::text FROM pg_class AS c
        WHERE c.relnamespace = %(schema)s::regnamespace AND c.relacl IS NOT NULL ORDER BY 1
    """,
}


def catalog(conn: Connection[Any], schema: str = "txbox") -> dict[str, list[tuple[Any, ...]]]:
    """Return all that is in a schema, by kind."""
    given = {"schema": sql.Identifier(schema).as_string(), "name": schema}
    return {kind: conn.execute(query.encode(), given).fetchall() for kind, query in _QUERIES.items()}
