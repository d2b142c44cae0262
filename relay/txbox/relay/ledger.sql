-- name: facts
-- What must be so for the cursor to be right, in one row. The outbox's tables are itself, its partitions, its sequence.
WITH tables AS (
    SELECT %(table)s::text::regclass AS relid
    UNION
    SELECT inhrelid FROM pg_inherits WHERE inhparent = %(table)s::text::regclass
    UNION
    SELECT pg_get_serial_sequence(%(table)s, 'seq')::regclass
)
SELECT
    pg_is_in_recovery() AS in_recovery,
    (SELECT system_identifier::text FROM pg_control_system()) AS system_identifier,
    CASE WHEN NOT pg_is_in_recovery()
        -- The first 8 hex digits of a WAL file's name are the timeline, the current one and not the last checkpoint's.
        THEN ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint
    END AS timeline,
    s.oid::bigint AS sequence_oid,
    pg_relation_filenode(s.oid)::bigint AS sequence_filenode,
    q.seqcache AS cache,
    q.seqincrement AS increment,
    q.seqcycle AS cycles,
    NOT EXISTS (SELECT FROM pg_class WHERE oid IN (SELECT relid FROM tables) AND relpersistence <> 'p') AS permanent,
    EXISTS (SELECT FROM pg_subscription_rel WHERE srrelid IN (SELECT relid FROM tables)) AS subscribed,
    (
        SELECT relid::regclass::text
        FROM tables JOIN pg_inherits ON inhrelid = relid
        WHERE inhdetachpending
        LIMIT 1
    ) AS detaching,
    CASE
        WHEN pg_is_in_recovery() OR NOT has_sequence_privilege(s.oid, 'SELECT, USAGE') THEN 0
        ELSE coalesce(pg_sequence_last_value(s.oid), 0)
    END AS last_value,
    pg_backend_pid() AS backend,
    s.oid::regclass::text AS sequence,
    current_user::text AS role,
    -- Who may not is told NULL by newer servers, like a sequence that was never used.
    has_sequence_privilege(s.oid, 'SELECT, USAGE') AS reads_sequence,
    (
        SELECT r.oid::regclass::text
        FROM pg_class AS r
        WHERE r.relnamespace = t.relnamespace
            AND r.relname IN ('outbox', 'outbox_held', 'relay_cursor')
            AND row_security_active(r.oid)
        LIMIT 1
    ) AS secured
FROM pg_class AS t
JOIN pg_class AS s ON s.oid = pg_get_serial_sequence(%(table)s, 'seq')::regclass
JOIN pg_sequence AS q ON q.seqrelid = s.oid
WHERE t.oid = %(table)s::text::regclass;

-- name: backend
SELECT pg_backend_pid();

-- name: lock
-- Held by the session: whoever loses the session loses the lead with it.
SELECT pg_try_advisory_lock(hashtextextended(%(lock)s, 0));

-- name: read
SELECT tail, system_identifier, timeline, sequence_oid::bigint, sequence_filenode::bigint
FROM {schema}.relay_cursor
WHERE name = %(name)s;

-- name: take
-- The epoch rises with each leader, so that a save of an earlier one finds nothing to update. Nothing happens when the
-- sequence is not the one that was inspected: the outbox has just been partitioned.
INSERT INTO {schema}.relay_cursor AS mine (
    name, epoch, leader, saved_at, system_identifier, timeline, sequence_oid, sequence_filenode
)
SELECT
    %(name)s, 1, %(leader)s, clock_timestamp(), %(system_identifier)s, %(timeline)s::bigint, s.oid, s.filenode
FROM (SELECT %(sequence_oid)s::oid, %(sequence_filenode)s::oid) AS s (oid, filenode)
WHERE s.filenode = pg_relation_filenode(s.oid)
ON CONFLICT (name) DO UPDATE SET
    epoch = mine.epoch + 1,
    leader = excluded.leader,
    saved_at = excluded.saved_at,
    system_identifier = excluded.system_identifier,
    timeline = excluded.timeline,
    sequence_oid = excluded.sequence_oid,
    sequence_filenode = excluded.sequence_filenode
WHERE coalesce(mine.sequence_oid, excluded.sequence_oid) = excluded.sequence_oid
RETURNING tail, gaps, epoch;

-- name: mine
-- The lock keeps the epoch as it is until the transaction ends.
SELECT FROM {schema}.relay_cursor
WHERE name = %(name)s AND epoch = %(epoch)s
FOR UPDATE;

-- name: save
UPDATE {schema}.relay_cursor
SET tail = %(tail)s, gaps = %(gaps)s::int8multirange, saved_at = clock_timestamp()
WHERE name = %(name)s
    AND epoch = %(epoch)s
    -- Else somebody restarted the sequence: the next leader finds out, before it reads a row.
    AND sequence_filenode = pg_relation_filenode(sequence_oid);

-- name: outlook
-- For the metrics: how many seqs there are from the first row above the tail on (those of rollbacks too), and when that
-- one was written. Not from the tail on: partitioning lets the sequence jump.
SELECT
    coalesce(pg_sequence_last_value(pg_get_serial_sequence(%(table)s, 'seq')::regclass) - first.seq + 1, 0),
    date_part('epoch', first.created_at)
FROM (VALUES (1)) AS always
LEFT JOIN LATERAL (
    SELECT seq, created_at FROM {schema}.outbox WHERE seq > %(tail)s ORDER BY seq LIMIT 1
) AS first ON true;

-- name: accept
UPDATE {schema}.relay_cursor
SET
    system_identifier = %(system_identifier)s,
    sequence_oid = %(sequence_oid)s,
    sequence_filenode = %(sequence_filenode)s,
    tail = CASE WHEN %(from_start)s THEN 0 ELSE tail END,
    gaps = CASE WHEN %(from_start)s THEN '{{}}' ELSE gaps END,
    saved_at = clock_timestamp()
WHERE name = %(name)s;
