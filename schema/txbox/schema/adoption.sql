-- Names and values enter in the places in braces: through `compose`, which quotes them.

-- name: table
-- The table that a name means on this search_path; no row where there is none.
SELECT c.oid::bigint AS oid, n.nspname AS schema, c.relname AS name, c.relkind::text AS kind
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.oid = to_regclass(%(table)s);

-- name: columns
SELECT attname AS name, format_type(atttypid, NULL) AS type, attnotnull AS required
FROM pg_attribute
WHERE attrelid = %(oid)s::oid AND attnum > 0 AND NOT attisdropped;

-- name: function
-- Its owner's rights, so that writers need none on the outbox: whoever may insert there may publish, as before.
CREATE OR REPLACE FUNCTION {function}() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$adopt$
BEGIN
    INSERT INTO {outbox} ({columns})
    VALUES ({values});
    RETURN NULL;
END
$adopt$;

-- name: revoke
-- Or anybody could hang it on a table of their own.
REVOKE ALL ON FUNCTION {function}() FROM PUBLIC;

-- name: trigger
-- After the insert, so that what ON CONFLICT passes over is no message. For each row, in the order of the rows.
-- Waits until nobody is in the middle of writing to the table, and keeps writers out until the end of the transaction:
-- every row is wholly before it or wholly behind it.
CREATE OR REPLACE TRIGGER txbox_adopt AFTER INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION {function}();

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
