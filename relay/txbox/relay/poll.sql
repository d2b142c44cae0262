-- name: holders
-- Who has the lock that nextval takes, in one scan of pg_locks: two scans could see one transaction at two moments.
-- A holder's transaction id is the least that it holds for itself alone (savepoints have ids of their own, a waiter
-- shows somebody else's, not granted); widened to 64 bits around this snapshot's xmax, since pg_locks shows 32 of them.
-- '3/0' is a transaction that has just ended. Not granted counts: it will draw as soon as it is.
SELECT
    l.virtualtransaction AS vxid,
    min(xmax + (l.transactionid::text::bigint - (xmax & 4294967295) + 6442450944) %% 4294967296 - 2147483648)
        FILTER (WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted) AS xid
FROM pg_locks AS l
CROSS JOIN (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS xmax) AS snapshot
WHERE l.virtualtransaction NOT LIKE '%%/0'
GROUP BY l.virtualtransaction
HAVING bool_or(
    l.locktype = 'relation'
    AND l.mode = 'RowExclusiveLock'
    AND l.relation = %(sequence)s
    AND l.database = %(database)s
);

-- name: above
-- Rows above the tail. The running sum cuts before a batch grows too large; the first row is always taken. A tombstone
-- counts as 0 bytes and not as NULL: else one behind the cut would be shown, and the rows before it be taken for gaps.
-- The snapshot stands in the first row only: one text is enough.
SELECT
    o.seq,
    o.topic,
    o.aggregateid,
    o.id,
    o.type,
    o.payload,
    o.headers,
    o.created,
    CASE WHEN o.n = 1 THEN pg_current_snapshot()::text END AS snapshot
FROM (
    SELECT
        seq,
        coalesce(topic, replace(%(template)s, '{{aggregate}}', aggregatetype)) AS topic,
        aggregateid,
        id::text AS id,
        type,
        payload,
        headers::text AS headers,
        (date_part('epoch', created_at) * 1000)::bigint AS created,
        row_number() OVER w AS n,
        sum(size) OVER w - size AS before
    FROM {schema}.outbox
    CROSS JOIN LATERAL (SELECT coalesce(octet_length(payload), 0) AS size) AS of_payload
    WHERE seq > %(tail)s
    WINDOW w AS (ORDER BY seq ROWS UNBOUNDED PRECEDING)
    ORDER BY seq
    LIMIT %(messages)s
) AS o
WHERE o.n = 1 OR o.before < %(size)s
ORDER BY o.seq;

-- name: above_and_gaps
-- The same, with rows of the chosen gaps. Each branch goes by the primary key and has its own limit, so that none
-- reads more than could be taken; never `seq <@ multirange`, which no index serves.
SELECT
    o.seq,
    coalesce(o.topic, replace(%(template)s, '{{aggregate}}', o.aggregatetype)) AS topic,
    o.aggregateid,
    o.id::text,
    o.type,
    o.payload,
    o.headers::text,
    (date_part('epoch', o.created_at) * 1000)::bigint AS created,
    CASE WHEN o.n = 1 THEN pg_current_snapshot()::text END AS snapshot
FROM (
    SELECT
        merged.*,
        row_number() OVER w AS n,
        sum(size) OVER w - size AS before
    FROM (
        (
            SELECT single.*
            FROM {schema}.outbox AS single
            WHERE single.seq = ANY(%(singles)s::bigint[])
            ORDER BY single.seq
            LIMIT %(messages)s
        )
        UNION ALL
        (
            SELECT ranged.*
            FROM unnest(%(firsts)s::bigint[], %(lasts)s::bigint[]) AS gap (first, last)
            CROSS JOIN LATERAL (
                SELECT *
                FROM {schema}.outbox AS o
                WHERE o.seq BETWEEN gap.first AND gap.last
                ORDER BY o.seq
                LIMIT %(messages)s
            ) AS ranged
            ORDER BY ranged.seq
            LIMIT %(messages)s
        )
        UNION ALL
        (
            SELECT above.*
            FROM {schema}.outbox AS above
            WHERE above.seq > %(tail)s
            ORDER BY above.seq
            LIMIT %(messages)s
        )
    ) AS merged
    CROSS JOIN LATERAL (SELECT coalesce(octet_length(payload), 0) AS size) AS of_payload
    WINDOW w AS (ORDER BY seq ROWS UNBOUNDED PRECEDING)
    ORDER BY seq
    LIMIT %(messages)s
) AS o
WHERE o.n = 1 OR o.before < %(size)s
ORDER BY o.seq;
