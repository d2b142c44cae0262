-- name: retry
-- `blocks` stays: a dead row that was released does not come before those that went past it.
UPDATE {schema}.held_messages
SET state = 'waiting', reason = 'failed', attempts = 0, due_at = now()
WHERE consumer_id = (SELECT id FROM {schema}.consumers WHERE name = %(consumer)s)
    AND message_id = ANY(%(ids)s::uuid[]);

-- name: discard
-- The id stays in the inbox: the message never comes again. Those behind it have no row before them any more.
DELETE FROM {schema}.held_messages
WHERE consumer_id = (SELECT id FROM {schema}.consumers WHERE name = %(consumer)s)
    AND message_id = ANY(%(ids)s::uuid[]);

-- name: edit
UPDATE {schema}.held_messages
SET payload = %(payload)s, headers = %(headers)s::jsonb, type = %(type)s
WHERE consumer_id = (SELECT id FROM {schema}.consumers WHERE name = %(consumer)s)
    AND message_id = ANY(%(ids)s::uuid[]);

-- name: note
-- In the transaction of each of these, whose rows are locked: what is noted has happened, and nothing else.
INSERT INTO {schema}.audit (who, command, what)
VALUES (%(who)s || ' as ' || session_user, %(command)s, %(what)s::jsonb);
