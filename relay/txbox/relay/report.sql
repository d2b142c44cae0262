-- name: status
-- One row a relay. It leads if its advisory lock is held: pg_locks shows a bigint key as two halves.
SELECT
    c.name,
    EXISTS (
        SELECT FROM pg_locks AS l
        WHERE l.locktype = 'advisory'
            AND l.objsubid = 1
            AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND (l.classid::bigint << 32 | l.objid::bigint)
                = hashtextextended('txbox relay ' || %(schema)s || ' ' || c.name, 0)
    ) AS leading,
    c.leader,
    c.epoch,
    c.tail,
    coalesce(pg_sequence_last_value(pg_get_serial_sequence(%(table)s, 'seq')::regclass) - first.seq + 1, 0) AS pending,
    (SELECT count(*) FROM unnest(c.gaps)) AS gaps,
    date_part('epoch', clock_timestamp() - first.created_at) AS oldest_pending_seconds,
    c.saved_at
FROM {schema}.relay_cursor AS c
LEFT JOIN LATERAL (
    SELECT o.seq, o.created_at FROM {schema}.outbox AS o WHERE o.seq > c.tail ORDER BY o.seq LIMIT 1
) AS first ON true
ORDER BY c.name;
