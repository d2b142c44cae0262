-- name: consumer
-- The consumer's number, made at its first start. Two first starts at once: the second one finds the first one's.
WITH made AS (
    INSERT INTO {schema}.consumers (name)
    SELECT %(name)s WHERE NOT EXISTS (SELECT FROM {schema}.consumers WHERE name = %(name)s)
    ON CONFLICT DO NOTHING
    RETURNING id
)
SELECT id FROM made
UNION ALL
SELECT id FROM {schema}.consumers WHERE name = %(name)s;

-- name: claim
-- Takes the ids that nobody has taken, and waits for whoever is just taking one: a consumer that lost its partitions may
-- still be at work. Sorted, or two such batches could each wait for the other.
INSERT INTO {schema}.processed_messages (consumer_id, message_id, topic, kafka_partition, kafka_offset)
SELECT %(consumer)s, message_id, topic, kafka_partition, kafka_offset
FROM unnest(%(ids)s::uuid[], %(topics)s::text[], %(partitions)s::int[], %(offsets)s::bigint[])
    AS given (message_id, topic, kafka_partition, kafka_offset)
ORDER BY message_id
ON CONFLICT DO NOTHING
RETURNING message_id;

-- name: release
-- Ids that were taken in this very transaction, for messages that it does not come to.
DELETE FROM {schema}.processed_messages WHERE consumer_id = %(consumer)s AND message_id = ANY(%(ids)s);

-- name: turn
-- One batch of this consumer at a time, until the transaction ends: after a deadlock, for a while.
SELECT pg_advisory_xact_lock(hashtextextended(%(lock)s, 0));
