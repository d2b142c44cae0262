-- name: status
-- One row a relay. It leads if its advisory lock is held: pg_locks shows a bigint key as two halves. Who stands by holds
-- nothing: those are the other sessions that call themselves by its name, which every role may see.
SELECT
    c.name,
    lead.pid IS NOT NULL AS leading,
    c.leader,
    (
        SELECT count(*)
        FROM pg_stat_activity AS a
        WHERE a.datname = current_database()
            AND a.application_name = left('txbox relay ' || c.name, 63)
            AND a.pid IS DISTINCT FROM lead.pid
    ) AS standbys,
    c.epoch,
    c.tail,
    coalesce(pg_sequence_last_value(pg_get_serial_sequence(%(table)s, 'seq')::regclass) - first.seq + 1, 0) AS pending,
    date_part('epoch', clock_timestamp() - first.created_at) AS oldest_pending_seconds,
    (SELECT count(*) FROM unnest(c.gaps)) AS gaps,
    (SELECT count(*) FROM {schema}.outbox_held AS h WHERE h.cursor_name = c.name) AS held,
    c.saved_at,
    date_part('epoch', clock_timestamp() - c.saved_at) AS saved_seconds_ago
FROM {schema}.relay_cursor AS c
LEFT JOIN LATERAL (
    SELECT o.seq, o.created_at FROM {schema}.outbox AS o WHERE o.seq > c.tail ORDER BY o.seq LIMIT 1
) AS first ON true
LEFT JOIN LATERAL (
    SELECT l.pid
    FROM pg_locks AS l
    WHERE l.locktype = 'advisory'
        AND l.objsubid = 1
        AND l.granted
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND (l.classid::bigint << 32 | l.objid::bigint)
            = hashtextextended('txbox relay ' || %(schema)s || ' ' || c.name, 0)
    LIMIT 1
) AS lead ON true
ORDER BY c.name;
