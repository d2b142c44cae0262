-- name: retry
-- `blocks` stays: a dead row that was released does not come before those that went past it.
WITH changed AS (
    UPDATE {schema}.held_messages
    SET state = 'waiting', reason = 'failed', attempts = 0, due_at = now()
    WHERE consumer_id = (SELECT id FROM {schema}.consumers WHERE name = %(consumer)s)
        AND message_id = ANY(%(ids)s::uuid[])
    RETURNING message_id, n
), noted AS (
    INSERT INTO {schema}.audit (who, command, what)
    SELECT
        %(who)s || ' as ' || session_user,
        'held retry',
        %(what)s::jsonb || jsonb_build_object('messages', jsonb_agg(message_id ORDER BY n))
    FROM changed
    HAVING count(*) > 0
)
SELECT message_id FROM changed;

-- name: discard
-- The id stays in the inbox: the message never comes again. Those behind it have no row before them any more.
WITH changed AS (
    DELETE FROM {schema}.held_messages
    WHERE consumer_id = (SELECT id FROM {schema}.consumers WHERE name = %(consumer)s)
        AND message_id = ANY(%(ids)s::uuid[])
    RETURNING message_id, n
), noted AS (
    INSERT INTO {schema}.audit (who, command, what)
    SELECT
        %(who)s || ' as ' || session_user,
        'held discard',
        %(what)s::jsonb || jsonb_build_object('messages', jsonb_agg(message_id ORDER BY n))
    FROM changed
    HAVING count(*) > 0
)
SELECT message_id FROM changed;

-- name: edit
WITH changed AS (
    UPDATE {schema}.held_messages
    SET payload = %(payload)s, headers = %(headers)s::jsonb, type = %(type)s
    WHERE consumer_id = (SELECT id FROM {schema}.consumers WHERE name = %(consumer)s)
        AND message_id = %(id)s
    RETURNING message_id
)
INSERT INTO {schema}.audit (who, command, what)
SELECT
    %(who)s || ' as ' || session_user,
    'held edit',
    %(what)s::jsonb || jsonb_build_object('messages', jsonb_build_array(message_id))
FROM changed;
