-- name: bury
-- Messages that can never be handled, as they came. Dead at once, and never in the way of others of their key.
INSERT INTO {schema}.held_messages (
    consumer_id, message_id, state, blocks, reason, error, attempts, key, type, payload, headers, topic,
    kafka_partition, kafka_offset, record_timestamp
)
VALUES (
    %(consumer)s, %(id)s, 'dead', false, %(reason)s, %(error)s, 0, %(key)s, %(type)s, %(payload)s, %(headers)s::jsonb,
    %(topic)s, %(partition)s, %(offset)s, %(timestamp)s::timestamptz
)
-- It may be here already, when its id was deleted from the inbox and it came again.
ON CONFLICT DO NOTHING;
