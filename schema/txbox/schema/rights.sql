-- name: rights
-- What the four roles, and PUBLIC, may do in a schema, whoever gave it to them. A function without an own list of rights
-- has the default one, in which PUBLIC may call it.
WITH things AS (
    SELECT 'schema' AS name, '' AS part, nspacl AS acl FROM pg_namespace WHERE nspname = %(schema)s
    UNION ALL
    SELECT c.relname, '', c.relacl
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = %(schema)s
    UNION ALL
    SELECT c.relname, a.attname, a.attacl
    FROM pg_attribute AS a
    JOIN pg_class AS c ON c.oid = a.attrelid
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = %(schema)s AND a.attacl IS NOT NULL
    UNION ALL
    SELECT p.proname || '()', '', coalesce(p.proacl, acldefault('f', p.proowner))
    FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname = %(schema)s
)
SELECT coalesce(r.rolname, 'PUBLIC') AS role, x.privilege_type AS privilege, things.name AS thing, things.part AS column
FROM things
CROSS JOIN LATERAL aclexplode(things.acl) AS x
LEFT JOIN pg_roles AS r ON r.oid = x.grantee
WHERE x.grantee = 0 OR r.rolname = ANY(%(roles)s);

-- name: roles
SELECT rolname FROM pg_roles WHERE rolname = ANY(%(roles)s);
