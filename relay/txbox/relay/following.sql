-- name: rows
-- The newest rows above one, and those that are waited for: each by its seq, so cheap on a table of any size. One
-- snapshot, so that a row's state is that of when it was read. Neither payloads nor headers, nor how large they are: who
-- may see the flow need not be allowed to read those.
WITH rows AS (
    (
        SELECT seq, id, coalesce(topic, aggregatetype) AS route, aggregateid, type, created_at
        FROM {schema}.outbox
        WHERE seq > %(above)s
        ORDER BY seq DESC
        LIMIT %(most)s
    )
    UNION ALL
    SELECT seq, id, coalesce(topic, aggregatetype), aggregateid, type, created_at
    FROM {schema}.outbox
    WHERE seq = ANY(%(awaited)s)
)
SELECT
    r.seq,
    r.id,
    CASE
        WHEN h.seq IS NOT NULL THEN 'held'
        WHEN r.seq <= c.tail AND NOT c.gaps @> r.seq THEN 'published'
        ELSE 'written'
    END AS state,
    r.route,
    r.aggregateid AS key,
    r.type,
    r.created_at
FROM rows AS r
LEFT JOIN {schema}.relay_cursor AS c ON c.name = %(relay)s
LEFT JOIN {schema}.outbox_held AS h ON h.cursor_name = %(relay)s AND h.seq = r.seq
ORDER BY r.seq;

-- name: between
-- The rows between two seqs: they came since the last look, so they are few.
SELECT count(*) FROM {schema}.outbox WHERE seq > %(above)s AND seq < %(below)s;
