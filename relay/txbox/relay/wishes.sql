-- name: list
SELECT cursor_name AS relay, seq, id, topic, aggregateid AS key, type, reason, error, attempts, wish, held_at
FROM {schema}.outbox_held
WHERE (%(key)s::text IS NULL OR aggregateid = %(key)s)
    AND (%(topic)s::text IS NULL OR topic = %(topic)s)
ORDER BY seq, cursor_name
LIMIT %(limit)s;

-- name: wish
-- Mark and note in one statement: neither is there without the other.
WITH chosen AS (
    SELECT h.seq, h.id, h.topic, h.aggregateid AS key, h.type, h.reason, h.error
    FROM {schema}.outbox_held AS h
    WHERE h.cursor_name = %(relay)s
        AND (%(id)s::uuid IS NULL OR h.id = %(id)s)
        AND (%(seq)s::bigint IS NULL OR h.seq = %(seq)s)
        AND (%(key)s::text IS NULL OR h.aggregateid = %(key)s)
        AND (%(topic)s::text IS NULL OR h.topic = %(topic)s)
        AND (%(error)s::text IS NULL OR strpos(h.error, %(error)s) > 0)
        AND (
            num_nonnulls(%(id)s::uuid, %(seq)s::bigint) > 0
            OR NOT EXISTS (
                SELECT FROM {schema}.outbox_held AS earlier
                WHERE earlier.cursor_name = h.cursor_name
                    AND earlier.topic = h.topic
                    AND earlier.aggregateid = h.aggregateid
                    AND earlier.seq < h.seq
            )
        )
), marked AS (
    UPDATE {schema}.outbox_held AS h
    SET wish = %(wish)s
    FROM chosen
    WHERE h.cursor_name = %(relay)s AND h.seq = chosen.seq AND NOT %(dry_run)s::boolean
    RETURNING chosen.*
), noted AS (
    INSERT INTO {schema}.audit (who, command, what)
    SELECT
        %(who)s || ' as ' || session_user,
        %(command)s,
        jsonb_build_object(
            'relay', %(relay)s::text,
            'chosen_by', jsonb_strip_nulls(jsonb_build_object(
                'id', %(id)s::uuid, 'seq', %(seq)s::bigint, 'key', %(key)s::text, 'topic', %(topic)s::text,
                'error', %(error)s::text
            )),
            'messages', jsonb_agg(id ORDER BY seq)
        )
    FROM marked
    HAVING count(*) > 0
)
SELECT seq, id, topic, key, type, reason, error FROM marked
UNION ALL
SELECT seq, id, topic, key, type, reason, error FROM chosen WHERE %(dry_run)s::boolean
ORDER BY seq;
