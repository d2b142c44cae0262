-- name: now
SELECT date_part('epoch', clock_timestamp());

-- name: topics
-- Where the newest messages go.
SELECT DISTINCT coalesce(o.topic, replace(%(template)s, '{{aggregate}}', o.aggregatetype)) AS topic
FROM (SELECT topic, aggregatetype FROM {schema}.outbox ORDER BY seq DESC LIMIT 1000) AS o
ORDER BY topic;

-- name: refused
-- Of the relay's, what waits for a person, and what behind it.
SELECT
    count(*) FILTER (WHERE reason = 'refused' AND wish IS NULL) AS refused,
    count(*) AS held,
    min(topic) AS topic
FROM {schema}.outbox_held;

-- name: done
-- Whether no relay needs the row any more.
SELECT %(seq)s < min(least(tail + 1, lower(gaps))) FROM {schema}.relay_cursor;

-- name: seq
SELECT seq FROM {schema}.outbox WHERE seq > %(after)s AND id = %(id)s;

-- name: drawn
SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence(%(table)s, 'seq')::regclass), 0);

-- name: withdraw
DELETE FROM {schema}.outbox WHERE seq = %(seq)s AND id = %(id)s;
