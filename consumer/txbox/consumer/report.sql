-- name: stats
SELECT
    c.name AS consumer,
    (SELECT count(*) FROM {schema}.processed_messages AS p WHERE p.consumer_id = c.id) AS processed,
    (SELECT max(processed_at) FROM {schema}.processed_messages AS p WHERE p.consumer_id = c.id) AS newest,
    (SELECT count(*) FROM {schema}.held_messages AS h WHERE h.consumer_id = c.id AND h.state = 'waiting') AS waiting,
    (SELECT count(*) FROM {schema}.held_messages AS h WHERE h.consumer_id = c.id AND h.state = 'dead') AS dead
FROM {schema}.consumers AS c
ORDER BY c.name;

-- name: show
-- What each consumer knows of a message. By the primary key, once a consumer.
SELECT
    c.name AS consumer,
    p.message_id,
    coalesce(h.state, 'processed') AS state,
    h.reason,
    h.error,
    p.topic,
    p.kafka_partition AS partition,
    p.kafka_offset AS offset,
    p.processed_at
FROM {schema}.consumers AS c
JOIN {schema}.processed_messages AS p ON p.consumer_id = c.id AND p.message_id = %(id)s
LEFT JOIN {schema}.held_messages AS h ON h.consumer_id = c.id AND h.message_id = p.message_id
ORDER BY c.name;

-- name: standing
SELECT
    c.name AS consumer,
    count(*) FILTER (WHERE h.state = 'waiting') AS waiting,
    count(*) FILTER (WHERE h.state = 'dead') AS dead,
    count(*) FILTER (WHERE h.state = 'dead' AND h.blocks) AS blocked_keys,
    min(h.first_failed_at) AS oldest,
    date_part('epoch', clock_timestamp() - min(h.first_failed_at)) AS oldest_seconds
FROM {schema}.consumers AS c
LEFT JOIN {schema}.held_messages AS h ON h.consumer_id = c.id
GROUP BY c.name
ORDER BY c.name;

-- name: blocked
-- Dead rows by their index; those behind each by the index of keys, up to a bound.
SELECT
    c.name AS consumer,
    h.topic,
    h.key,
    h.message_id AS id,
    h.reason,
    h.last_failed_at AS since,
    behind.count AS behind
FROM {schema}.held_messages AS h
JOIN {schema}.consumers AS c ON c.id = h.consumer_id
CROSS JOIN LATERAL (
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
WHERE h.state = 'dead' AND h.blocks
ORDER BY h.last_failed_at, c.name, h.n
LIMIT %(limit)s;
