-- What the outbox is made of.

-- name: kind
SELECT relkind = 'p' FROM pg_class WHERE oid = %(table)s::regclass;

-- name: parts
-- NULL where a range has no end. A default partition, of somebody else's, is none of ours.
SELECT
    c.relname AS name,
    substring(bound.text FROM $re$FROM \('?(-?\d+)'?\)$re$)::bigint AS lower,
    substring(bound.text FROM $re$TO \('?(-?\d+)'?\)$re$)::bigint AS upper,
    i.inhdetachpending AS detaching
FROM pg_inherits AS i
JOIN pg_class AS c ON c.oid = i.inhrelid
CROSS JOIN LATERAL (SELECT pg_get_expr(c.relpartbound, c.oid) AS text) AS bound
WHERE i.inhparent = %(table)s::regclass AND bound.text <> 'DEFAULT'
ORDER BY lower NULLS FIRST, upper NULLS LAST;

-- name: drawn
-- To name the table is to lock it: its sequence does not change before this has ended.
SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence(%(table)s, 'seq')::regclass), 0)
WHERE NOT EXISTS (SELECT FROM {schema}.outbox WHERE false);

-- name: obstacles
-- What would stay behind on the first partition, or go on looking at it alone.
SELECT 'trigger ' || quote_ident(tgname) FROM pg_trigger WHERE tgrelid = %(table)s::regclass AND NOT tgisinternal
UNION ALL
SELECT 'row security' FROM pg_class WHERE oid = %(table)s::regclass AND relrowsecurity
UNION ALL
SELECT 'unlogged storage' FROM pg_class WHERE oid = %(table)s::regclass AND relpersistence <> 'p'
UNION ALL
SELECT 'index ' || indexrelid::regclass FROM pg_index WHERE indrelid = %(table)s::regclass AND NOT indisprimary
UNION ALL
SELECT 'constraint ' || quote_ident(conname)
FROM pg_constraint
WHERE (conrelid = %(table)s::regclass OR confrelid = %(table)s::regclass) AND contype NOT IN ('p', 'c', 'n')
UNION ALL
-- Those of all tables too: a subscriber has no such partitions, and its replication would stop at the first row.
SELECT 'publication ' || quote_ident(pubname)
FROM pg_publication_tables
WHERE format('%%I.%%I', schemaname, tablename)::regclass = %(table)s::regclass
UNION ALL
SELECT 'inheritance from or by it'
WHERE EXISTS (SELECT FROM pg_inherits WHERE %(table)s::regclass IN (inhrelid, inhparent))
UNION ALL
SELECT DISTINCT 'view or rule ' || w.ev_class::regclass
FROM pg_depend AS d
JOIN pg_rewrite AS w ON w.oid = d.objid
WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass
    AND d.refobjid = %(table)s::regclass AND w.ev_class <> %(view)s::regclass
UNION ALL
SELECT 'function ' || d.objid::regprocedure
FROM pg_depend AS d
WHERE d.classid = 'pg_proc'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = %(table)s::regclass;

-- name: view
SELECT pg_get_viewdef(%(view)s::regclass);

-- name: rights
-- As statements for the table that takes this one's name, and for its sequence.
WITH things AS (
    SELECT 'TABLE' AS kind, oid, relacl, relowner, %(table)s::text AS name FROM pg_class WHERE oid = %(table)s::text::regclass
    UNION ALL
    SELECT 'SEQUENCE', oid, relacl, relowner, %(sequence)s::text FROM pg_class
    WHERE oid = pg_get_serial_sequence(%(table)s::text, 'seq')::regclass
)
SELECT format('ALTER TABLE %%s OWNER TO %%I', name, pg_get_userbyid(relowner)) FROM things WHERE kind = 'TABLE'
UNION ALL
SELECT format('GRANT %%s ON %%s %%s TO %%s', a.privilege_type, kind, name, a.who) || a.option
FROM things
CROSS JOIN LATERAL (
    SELECT
        privilege_type,
        CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END AS who,
        CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END AS option
    FROM aclexplode(relacl)
) AS a
UNION ALL
SELECT format(
    'GRANT %%s (%%I) ON TABLE %%s TO %%s', a.privilege_type, c.attname, name,
    CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END
) || CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
FROM things
JOIN pg_attribute AS c ON c.attrelid = things.oid AND c.attacl IS NOT NULL
CROSS JOIN LATERAL aclexplode(c.attacl) AS a
WHERE kind = 'TABLE';

-- name: go_on
-- The numbers go on where they were: last is NULL when none was ever drawn.
SELECT setval(pg_get_serial_sequence(%(table)s, 'seq')::regclass, %(last)s) WHERE %(last)s::bigint IS NOT NULL;

-- name: last
SELECT pg_sequence_last_value(s.oid), s.oid::bigint
FROM (SELECT pg_get_serial_sequence(%(table)s, 'seq')::regclass::oid) AS s (oid);

-- name: below
SELECT conname FROM pg_constraint WHERE conrelid = %(part)s::regclass AND conname LIKE 'outbox\_below\_%%';

-- name: owner
SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = %(table)s::regclass;

-- name: jump
-- Forwards only, and only where there is somewhere to jump to: writers may have drawn since.
SELECT setval(s.oid::regclass, %(to)s)
FROM (SELECT pg_get_serial_sequence(%(table)s, 'seq')::regclass::oid) AS s (oid)
WHERE coalesce(pg_sequence_last_value(s.oid), 0) < %(to)s;

-- name: sequence_name
SELECT pg_get_serial_sequence(%(table)s, 'seq');

-- name: hopeless
-- Who has used the outbox for seconds will hardly end in the next quarter of one: asking would only hold up writers.
SELECT EXISTS (
    SELECT FROM pg_locks AS l
    JOIN pg_stat_activity AS a ON a.pid = l.pid
    WHERE l.locktype = 'relation'
        AND l.relation = %(table)s::regclass
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND l.granted
        AND l.pid <> pg_backend_pid()
        AND a.xact_start < clock_timestamp() - interval '5 seconds'
);
