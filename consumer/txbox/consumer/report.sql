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
