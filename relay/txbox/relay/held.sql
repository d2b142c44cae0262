-- name: keys
-- What is held, by key; read once a term, from the index alone.
SELECT topic, aggregateid, count(*)
FROM {schema}.outbox_held
WHERE cursor_name = %(name)s
GROUP BY topic, aggregateid;

-- name: keep
-- Rows that the cursor is about to pass; ON CONFLICT for those of a cursor that was set back, which are here already.
INSERT INTO {schema}.outbox_held (
    cursor_name, seq, id, aggregatetype, aggregateid, type, payload, headers, topic, created_at, reason, error
)
SELECT
    %(name)s, o.seq, o.id, o.aggregatetype, o.aggregateid, o.type, o.payload, o.headers, diverted.topic, o.created_at,
    diverted.reason, diverted.error
FROM unnest(%(seqs)s::bigint[], %(topics)s::text[], %(reasons)s::text[], %(errors)s::text[])
    AS diverted (seq, topic, reason, error)
JOIN {schema}.outbox AS o ON o.seq = diverted.seq
ON CONFLICT ON CONSTRAINT outbox_held_pkey DO NOTHING;

-- name: wished
-- Whether a wish can be granted now. A retry behind another row of its key waits, and so does this.
SELECT EXISTS (
    SELECT FROM {schema}.outbox_held AS h
    WHERE h.cursor_name = %(name)s
        AND h.wish IS NOT NULL
        AND (
            h.wish = 'skip'
            OR NOT EXISTS (
                SELECT FROM {schema}.outbox_held AS earlier
                WHERE earlier.cursor_name = h.cursor_name
                    AND earlier.topic = h.topic
                    AND earlier.aggregateid = h.aggregateid
                    AND earlier.seq < h.seq
            )
        )
);

-- name: skip
DELETE FROM {schema}.outbox_held
WHERE cursor_name = %(name)s AND wish = 'skip'
RETURNING topic, aggregateid;

-- name: due
-- Rows to try now, in order: the first of each key, if that is wished; with those behind it, if it only followed. A row
-- that was refused goes alone, and what is behind it when it was acked. Cut by count and size, like a read.
WITH heads AS (
    SELECT h.seq, h.topic, h.aggregateid, h.reason
    FROM {schema}.outbox_held AS h
    WHERE h.cursor_name = %(name)s
        AND h.wish = 'retry'
        AND NOT EXISTS (
            SELECT FROM {schema}.outbox_held AS earlier
            WHERE earlier.cursor_name = h.cursor_name
                AND earlier.topic = h.topic
                AND earlier.aggregateid = h.aggregateid
                AND earlier.seq < h.seq
        )
    ORDER BY h.seq
    LIMIT %(messages)s
), due AS (
    SELECT seq FROM heads
    UNION
    SELECT behind.seq
    FROM heads
    CROSS JOIN LATERAL (
        SELECT b.seq
        FROM {schema}.outbox_held AS b
        WHERE heads.reason = 'follows'
            AND b.cursor_name = %(name)s
            AND b.topic = heads.topic
            AND b.aggregateid = heads.aggregateid
            AND b.reason = 'follows'
            AND b.wish IS DISTINCT FROM 'skip'
        ORDER BY b.seq
        LIMIT %(messages)s
    ) AS behind
    ORDER BY seq
    LIMIT %(messages)s
)
SELECT
    seq,
    topic,
    aggregateid,
    id::text,
    type,
    payload,
    headers::text,
    CASE WHEN isfinite(created_at) THEN (date_part('epoch', created_at) * 1000)::bigint ELSE 0 END AS created,
    size
FROM (
    SELECT h.*, of_row.size, sum(of_row.size) OVER (ORDER BY h.seq ROWS UNBOUNDED PRECEDING) - of_row.size AS before
    FROM due
    JOIN {schema}.outbox_held AS h ON h.cursor_name = %(name)s AND h.seq = due.seq
    CROSS JOIN LATERAL (
        SELECT coalesce(octet_length(h.payload), 0) + coalesce(octet_length(h.aggregateid), 0)
            + coalesce(octet_length(h.headers::text), 0) AS size
    ) AS of_row
) AS running
WHERE before < %(size)s
ORDER BY seq;

-- name: delivered
DELETE FROM {schema}.outbox_held
WHERE cursor_name = %(name)s AND seq = ANY(%(seqs)s::bigint[]);

-- name: refused
-- The wish was granted, in vain; one to skip that came meanwhile stays.
UPDATE {schema}.outbox_held AS h
SET reason = 'refused', error = again.error, attempts = h.attempts + 1, wish = nullif(h.wish, 'retry')
FROM unnest(%(seqs)s::bigint[], %(errors)s::text[]) AS again (seq, error)
WHERE h.cursor_name = %(name)s AND h.seq = again.seq;

-- name: pass_on
-- Where the first row of a key only followed another, nothing stands before it any more: it is due.
UPDATE {schema}.outbox_held AS h
SET wish = 'retry'
FROM unnest(%(topics)s::text[], %(keys)s::text[]) AS of_key (topic, key)
WHERE h.cursor_name = %(name)s
    AND h.reason = 'follows'
    AND h.wish IS NULL
    AND h.seq = (
        SELECT min(first.seq)
        FROM {schema}.outbox_held AS first
        WHERE first.cursor_name = %(name)s AND first.topic = of_key.topic AND first.aggregateid = of_key.key
    );

-- name: free
-- Of these keys, those of which nothing is held.
SELECT of_key.topic, of_key.key
FROM unnest(%(topics)s::text[], %(keys)s::text[]) AS of_key (topic, key)
WHERE NOT EXISTS (
    SELECT FROM {schema}.outbox_held AS h
    WHERE h.cursor_name = %(name)s AND h.topic = of_key.topic AND h.aggregateid = of_key.key
);
