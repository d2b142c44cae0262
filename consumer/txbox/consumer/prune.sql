-- name: page
-- From one place of the primary key to the next: whatever the table's size, each row is read once, and none sorted.
-- The id of a message that is held stays: were it taken again, two would have the right to run it.
WITH page AS (
    SELECT consumer_id, message_id, processed_at
    FROM {schema}.processed_messages
    WHERE (consumer_id, message_id) > (%(consumer)s, %(id)s)
    ORDER BY consumer_id, message_id
    LIMIT %(most)s
),
old AS (
    SELECT page.consumer_id, page.message_id
    FROM page
    JOIN {schema}.consumers AS c ON c.id = page.consumer_id
    WHERE page.processed_at < now() - %(older_than)s * interval '1 second'
        AND (%(name)s::text IS NULL OR c.name = %(name)s)
        AND NOT EXISTS (
            SELECT
            FROM {schema}.held_messages AS h
            WHERE h.consumer_id = page.consumer_id AND h.message_id = page.message_id
        )
),
gone AS (
    DELETE FROM {schema}.processed_messages AS p
    USING old
    WHERE NOT %(dry_run)s AND p.consumer_id = old.consumer_id AND p.message_id = old.message_id
    RETURNING p.message_id
)
SELECT
    CASE WHEN %(dry_run)s THEN (SELECT count(*) FROM old) ELSE (SELECT count(*) FROM gone) END AS pruned,
    last.consumer_id,
    last.message_id
FROM (SELECT consumer_id, message_id FROM page ORDER BY consumer_id DESC, message_id DESC LIMIT 1) AS last;
