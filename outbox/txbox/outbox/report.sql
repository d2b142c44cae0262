-- name: stats
-- Everything here is read from the catalog or by the primary key: cheap on a table of any size.
WITH tables AS (
    SELECT %(table)s::text::regclass::oid AS oid
    UNION ALL
    SELECT inhrelid FROM pg_inherits WHERE inhparent = %(table)s::text::regclass
)
SELECT
    coalesce(pg_sequence_last_value(pg_get_serial_sequence(%(table)s, 'seq')::regclass), 0) AS last_seq,
    (SELECT min(seq) FROM {schema}.outbox) AS first_seq,
    (SELECT created_at FROM {schema}.outbox ORDER BY seq LIMIT 1) AS oldest,
    (SELECT created_at FROM {schema}.outbox ORDER BY seq DESC LIMIT 1) AS newest,
    (
        SELECT coalesce(sum(greatest(reltuples, 0)), 0)::bigint
        FROM pg_class
        WHERE relkind = 'r' AND oid IN (SELECT oid FROM tables)
    ) AS rows_estimated,
    (SELECT count(*) FROM tables) - 1 AS partitions,
    (SELECT sum(pg_total_relation_size(oid)) FROM tables)::bigint AS bytes;

-- name: list
SELECT seq, id, route, key, type, payload, headers, created_at
FROM {schema}.outbox_readable
WHERE (%(key)s::text IS NULL OR key = %(key)s)
    AND (%(topic)s::text IS NULL OR route = %(topic)s)
ORDER BY seq DESC
LIMIT %(limit)s;

-- name: show_seq
SELECT seq, id, route, key, type, payload, headers, created_at
FROM {schema}.outbox_readable
WHERE seq = %(seq)s;

-- name: show_id
-- A scan: no index on id, since writers would pay for it.
SELECT seq, id, route, key, type, payload, headers, created_at
FROM {schema}.outbox_readable
WHERE id = %(id)s
ORDER BY seq
LIMIT 1;
