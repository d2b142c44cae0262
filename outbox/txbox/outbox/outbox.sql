-- headers are given as text, and made jsonb here: a service may have told its driver to make jsonb of objects itself.

-- name: lock_keys
-- Sorted, so that two add_many with several keys each cannot deadlock. In a statement of its own before the insert:
-- the lock must be held before a seq is drawn, or the key's order is not the order of its seqs.
SELECT count(pg_advisory_xact_lock(lock.key))
FROM (SELECT DISTINCT key FROM unnest(%s::bigint[]) AS given (key) ORDER BY key) AS lock;

-- name: add
INSERT INTO {schema}.outbox (id, aggregatetype, aggregateid, type, payload, headers, topic)
VALUES (%s, %s, %s, %s, %s, %s::text::jsonb, %s);

-- name: add_many
-- Ordered, so that seqs are drawn in the order in which the messages were given.
INSERT INTO {schema}.outbox (id, aggregatetype, aggregateid, type, payload, headers, topic)
SELECT id, aggregatetype, aggregateid, type, payload, headers::jsonb, topic
FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[], %s::bytea[], %s::text[], %s::text[])
    WITH ORDINALITY AS given (id, aggregatetype, aggregateid, type, payload, headers, topic, n)
ORDER BY n;
