-- Names and values enter in the places in braces: through `compose`, which quotes them.

-- name: table
-- The table that a name means on this search_path; no row where there is none.
SELECT c.oid::bigint AS oid, n.nspname AS schema, c.relname AS name, c.relkind::text AS kind, o.rolname AS owner,
    o.rolsuper AS super
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_roles AS o ON o.oid = c.relowner
WHERE c.oid = to_regclass(%(table)s);

-- name: columns
SELECT a.attname AS name, format_type(a.atttypid, NULL) AS type, a.attnotnull AS required,
    t.typnamespace = 'pg_catalog'::regnamespace AS builtin
FROM pg_attribute AS a
JOIN pg_type AS t ON t.oid = a.atttypid
WHERE attrelid = %(oid)s::oid AND attnum > 0 AND NOT attisdropped;

-- name: others
-- Tables that use the function already. Those of partitions are their parent's.
SELECT t.tgrelid::regclass::text
FROM pg_trigger AS t
WHERE t.tgfoid = to_regprocedure(%(function)s) AND t.tgparentid = 0 AND t.tgrelid <> %(oid)s::oid;

-- name: function
-- Its owner's rights, so that writers need none on the outbox: whoever may insert there may publish, as before.
CREATE OR REPLACE FUNCTION {function}() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$adopt$
BEGIN
    -- Before any cast: to a type of its own the table's owner could give a cast, which would run with these rights.
    IF {altered} THEN
        RAISE EXCEPTION 'a column of % is of another type than when txbox adopted the table', tg_relid::regclass
            USING ERRCODE = 'datatype_mismatch', HINT = 'Adopt it again: txbox db adopt';
    END IF;
    INSERT INTO {outbox} ({columns})
    VALUES ({values});
    RETURN NULL;
END
$adopt$;

-- name: revoke
-- Or anybody could hang it on a table of their own.
REVOKE ALL ON FUNCTION {function}() FROM PUBLIC;

-- name: owner
-- Not whoever adopts: that may be a superuser.
ALTER FUNCTION {function}() OWNER TO {owner};

-- name: trigger
-- After the insert, so that what ON CONFLICT passes over is no message. For each row, in the order of the rows.
-- Waits until nobody is in the middle of writing to the table, and keeps writers out until the end of the transaction:
-- every row is wholly before it or wholly behind it.
CREATE OR REPLACE TRIGGER txbox_adopt AFTER INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION {function}();

-- name: guard
-- The trigger's lock keeps the columns as they are from here on; what was seen of them before may have changed.
DO $adopt$
DECLARE
    new {table};
BEGIN
    IF {altered} THEN
        RAISE EXCEPTION 'a column is of another type than when this was made'
            USING ERRCODE = 'datatype_mismatch', HINT = 'Adopt it again: txbox db adopt';
    END IF;
END
$adopt$;

-- name: backlog
-- What was there before. A statement of its own, behind the trigger: it sees all that was written before that.
INSERT INTO {outbox} ({columns})
SELECT {values}
FROM {table} AS new
WHERE {backlog}
ORDER BY {order};

-- name: lock
-- First the lock that no writer notices: who waits for it has autovacuum make way, which takes a second.
SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
SET LOCAL lock_timeout = '5s';
LOCK TABLE {table} IN SHARE UPDATE EXCLUSIVE MODE;
