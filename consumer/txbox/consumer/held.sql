-- A key of a held message is compared by its first 1,000 bytes everywhere: the index holds no more.

-- name: lengths
-- Which of these keys are held, and by how many rows, of which no more than %(most)s are counted.
SELECT given.topic, given.key, held.count
FROM unnest(%(topics)s::text[], %(keys)s::bytea[]) AS given (topic, key)
CROSS JOIN LATERAL (
    SELECT count(*)
    FROM (
        SELECT
        FROM {schema}.held_messages AS h
        WHERE h.consumer_id = %(consumer)s
            AND h.topic = given.topic
            AND substring(h.key FROM 1 FOR 1000) = given.key
            AND h.blocks
        LIMIT %(most)s
    ) AS rows
) AS held
WHERE held.count > 0;

-- name: hold
INSERT INTO {schema}.held_messages (
    consumer_id, message_id, state, blocks, reason, error, attempts, due_at, key, type, payload, headers, topic,
    kafka_partition, kafka_offset, record_timestamp
)
VALUES (
    %(consumer)s, %(id)s, %(state)s, %(blocks)s, %(reason)s, %(error)s, %(attempts)s,
    clock_timestamp() + %(delay)s * interval '1 second', %(key)s, %(type)s, %(payload)s, %(headers)s::jsonb,
    %(topic)s, %(partition)s, %(offset)s, %(timestamp)s::timestamptz
)
-- It may be here already, when its id was deleted from the inbox and it came again: that row is the right to run it.
ON CONFLICT DO NOTHING;

-- name: due
-- Heads of keys, and messages without a key, whose time has come.
SELECT message_id
FROM {schema}.held_messages
WHERE consumer_id = %(consumer)s AND state = 'waiting' AND due_at <= now()
ORDER BY due_at
LIMIT %(most)s;

-- name: freed
-- Heads of keys that have no time: the one before them is gone. From key to key by the index, however many wait in each,
-- but no more than %(keys)s of them at a time: the last one of those is shown too, as the place to go on from.
WITH RECURSIVE head AS (
    (
        SELECT topic, substring(key FROM 1 FOR 1000) AS key, message_id, state, due_at, 1 AS step
        FROM {schema}.held_messages
        WHERE consumer_id = %(consumer)s
            AND blocks
            AND (topic, substring(key FROM 1 FOR 1000)) > (%(topic)s, %(key)s)
        ORDER BY topic, substring(key FROM 1 FOR 1000), n
        LIMIT 1
    )
    UNION ALL
    SELECT next.topic, next.key, next.message_id, next.state, next.due_at, head.step + 1
    FROM head
    CROSS JOIN LATERAL (
        SELECT h.topic, substring(h.key FROM 1 FOR 1000) AS key, h.message_id, h.state, h.due_at
        FROM {schema}.held_messages AS h
        WHERE h.consumer_id = %(consumer)s
            AND h.blocks
            AND (h.topic, substring(h.key FROM 1 FOR 1000)) > (head.topic, head.key)
        ORDER BY h.topic, substring(h.key FROM 1 FOR 1000), h.n
        LIMIT 1
    ) AS next
    WHERE head.step < %(keys)s
)
SELECT topic, key, message_id, state = 'waiting' AND due_at IS NULL AS freed, step = %(keys)s AS more
FROM head
WHERE (state = 'waiting' AND due_at IS NULL) OR step = %(keys)s
ORDER BY step;

-- name: line
-- The first rows of a key, in order.
SELECT message_id, coalesce(octet_length(payload), 0) AS size
FROM {schema}.held_messages
WHERE consumer_id = %(consumer)s
    AND topic = %(topic)s
    AND substring(key FROM 1 FOR 1000) = %(key)s
    AND blocks
ORDER BY n
LIMIT %(most)s;

-- name: take
-- Rows as they are now, in order, each locked until the end of the transaction; those that somebody is at are passed over.
SELECT
    message_id, state, blocks, attempts, coalesce(due_at <= clock_timestamp(), true) AS due, key, payload, headers, topic,
    kafka_partition, kafka_offset, record_timestamp, first_failed_at
FROM {schema}.held_messages
WHERE consumer_id = %(consumer)s AND message_id = ANY(%(ids)s)
ORDER BY n
FOR UPDATE SKIP LOCKED;

-- name: done
DELETE FROM {schema}.held_messages WHERE consumer_id = %(consumer)s AND message_id = ANY(%(ids)s);

-- name: failed
UPDATE {schema}.held_messages
SET
    state = %(state)s,
    blocks = blocks AND %(blocks)s,
    reason = %(reason)s,
    error = %(error)s,
    attempts = attempts + 1,
    due_at = clock_timestamp() + %(delay)s * interval '1 second',
    last_failed_at = clock_timestamp()
WHERE consumer_id = %(consumer)s AND message_id = %(id)s
-- Until the transaction ends. In this statement, since one more would cost as much as a tenth of the flush that it saves.
RETURNING CASE WHEN NOT %(flush)s THEN set_config('synchronous_commit', 'off', true) END;

-- name: forgive
-- They failed for what was nobody's fault: each gets its attempt back, and is due. One that somebody is at is passed over.
WITH free AS (
    SELECT consumer_id, message_id
    FROM {schema}.held_messages
    WHERE consumer_id = %(consumer)s AND message_id = ANY(%(ids)s) AND attempts > 0
    FOR UPDATE SKIP LOCKED
)
UPDATE {schema}.held_messages AS h
SET state = 'waiting', attempts = h.attempts - 1, reason = 'failed', due_at = now()
FROM free
WHERE h.consumer_id = free.consumer_id AND h.message_id = free.message_id;

-- name: soonest
-- Any message that waits for its time, for trying one although its time has not come.
SELECT message_id
FROM {schema}.held_messages
WHERE consumer_id = %(consumer)s AND state = 'waiting' AND due_at IS NOT NULL
ORDER BY due_at
LIMIT %(most)s;

-- name: counts
SELECT state, count(*) FROM {schema}.held_messages WHERE consumer_id = %(consumer)s GROUP BY state;
