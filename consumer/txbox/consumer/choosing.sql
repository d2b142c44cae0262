-- name: choose
-- The one place that says what a choice means; whoever changes something asks it again, with the rows locked. Given ids,
-- each consumer's are found by the primary key.
SELECT c.name AS consumer, h.message_id AS id
FROM {schema}.held_messages AS h
JOIN {schema}.consumers AS c ON c.id = h.consumer_id
WHERE (%(ids)s::uuid[] IS NULL OR h.message_id = ANY(%(ids)s))
    AND (%(consumer)s::text IS NULL OR c.name = %(consumer)s)
    AND (%(state)s::text IS NULL OR h.state = %(state)s)
    AND (%(topic)s::text IS NULL OR h.topic = %(topic)s)
    AND (%(keys)s::bytea[] IS NULL OR h.key = ANY(%(keys)s))
    AND (%(type)s::text IS NULL OR h.type = %(type)s)
    AND (%(reason)s::text IS NULL OR h.reason = %(reason)s)
    AND (%(error)s::text IS NULL OR strpos(h.error, %(error)s) > 0)
    AND (%(older_than)s::float8 IS NULL OR h.first_failed_at < now() - make_interval(secs => %(older_than)s))
    AND (%(newer_than)s::float8 IS NULL OR h.first_failed_at > now() - make_interval(secs => %(newer_than)s))
    AND (%(followers)s::boolean OR h.state = 'dead' OR h.due_at IS NOT NULL)
ORDER BY c.name, h.n
LIMIT %(limit)s

-- name: locking
-- Appended to `choose`. Whoever runs a message holds its row: people never wait for a handler.
FOR UPDATE OF h SKIP LOCKED

-- name: read
-- All but what people wrote, of these messages of one consumer. The first row of a key holds it: `head`. Those behind
-- are counted up to a bound, by the index of keys.
SELECT
    c.name AS consumer,
    h.message_id AS id,
    h.state,
    h.reason,
    h.blocks,
    CASE WHEN h.blocks AND line.head = h.message_id THEN line.behind END AS behind,
    h.attempts,
    h.due_at,
    h.topic,
    h.key,
    h.type,
    h.first_failed_at,
    h.last_failed_at,
    h.error,
    nullif(line.head, h.message_id) AS head,
    h.kafka_partition AS partition,
    h.kafka_offset AS "offset",
    h.record_timestamp AS timestamp,
    -- A retry leaves what is due already as it is, and what follows another: that has no time, and gets none.
    coalesce(h.state = 'dead' OR h.due_at > clock_timestamp(), false) AS retriable
FROM {schema}.consumers AS c
JOIN {schema}.held_messages AS h ON h.consumer_id = c.id AND h.message_id = ANY(%(ids)s::uuid[])
LEFT JOIN LATERAL (
    SELECT
        (
            SELECT earliest.message_id
            FROM {schema}.held_messages AS earliest
            WHERE earliest.consumer_id = h.consumer_id
                AND earliest.topic = h.topic
                AND substring(earliest.key FROM 1 FOR 1000) = substring(h.key FROM 1 FOR 1000)
                AND earliest.blocks
            ORDER BY earliest.n
            LIMIT 1
        ) AS head,
        (
            SELECT count(*)
            FROM (
                SELECT
                FROM {schema}.held_messages AS later
                WHERE later.consumer_id = h.consumer_id
                    AND later.topic = h.topic
                    AND substring(later.key FROM 1 FOR 1000) = substring(h.key FROM 1 FOR 1000)
                    AND later.blocks
                    AND later.n > h.n
                LIMIT %(most_behind)s
            ) AS counted
        ) AS behind
) AS line ON h.blocks
WHERE c.name = %(consumer)s
ORDER BY h.n;

-- name: may_read
-- txbox_viewer may not, and is told everything else.
SELECT has_column_privilege(%(table)s, 'payload', 'SELECT');

-- name: sizes
SELECT message_id, length(payload)
FROM {schema}.held_messages
WHERE consumer_id = (SELECT id FROM {schema}.consumers WHERE name = %(consumer)s)
    AND message_id = ANY(%(ids)s::uuid[]);

-- name: contents
SELECT message_id AS id, key, payload, headers
FROM {schema}.held_messages
WHERE consumer_id = (SELECT id FROM {schema}.consumers WHERE name = %(consumer)s)
    AND message_id = ANY(%(ids)s::uuid[]);
