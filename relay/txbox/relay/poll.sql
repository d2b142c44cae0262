-- name: holders
-- Who has the lock that nextval takes, in one scan of pg_locks: two scans could see one transaction at two moments.
-- A holder's transaction id is the least that it holds for itself alone (savepoints have ids of their own, a waiter
-- shows somebody else's, not granted); widened to 64 bits around this snapshot's xmax, since pg_locks shows 32 of them.
-- '3/0' is a transaction that has just ended. Not granted counts: it will draw as soon as it is.
-- The sequence is found by its table each time: partitioning gives the outbox another one, when all who drew from the
-- first have ended. So the gaps that were found before this look are decided if it meets one of the two too late or early.
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
    AND l.relation = (SELECT pg_get_serial_sequence(%(table)s, 'seq')::regclass::oid)
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
);

-- name: drawn
SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence(%(table)s, 'seq')::regclass), 0);

-- name: late
-- Rows where none should be. Few at a time: one is enough to tell that a rule was broken.
SELECT seq
FROM {schema}.outbox
WHERE seq = ANY(%(singles)s::bigint[])
UNION ALL
(
    SELECT found.seq
    FROM unnest(%(firsts)s::bigint[], %(lasts)s::bigint[]) AS gap (first, last)
    CROSS JOIN LATERAL (
        SELECT o.seq FROM {schema}.outbox AS o WHERE o.seq BETWEEN gap.first AND gap.last ORDER BY o.seq LIMIT 1000
    ) AS found
)
ORDER BY seq
LIMIT 1000;

-- name: above
-- Rows above the tail: as many as wanted, or as many as begin within the wanted size; the first one always.
-- A running sum over all rows would cost as much as reading them. So there is one only where their plain sum is too
-- large: PostgreSQL runs a subquery in CASE only when it comes to it.
-- A tombstone counts as 0 bytes and not as NULL: else one behind the cut would be shown, and the rows before it be
-- taken for gaps.
-- The snapshot stands in the first row only: one text is enough.
SELECT
    o.seq,
    coalesce(o.topic, replace(%(template)s, '{{aggregate}}', o.aggregatetype)) AS topic,
    o.aggregateid,
    o.id::text,
    o.type,
    o.payload,
    o.headers::text,
    CASE WHEN isfinite(o.created_at) THEN (date_part('epoch', o.created_at) * 1000)::bigint ELSE 0 END AS created,
    coalesce(octet_length(o.payload), 0) + coalesce(octet_length(o.aggregateid), 0)
        + coalesce(octet_length(o.headers::text), 0) AS size,
    CASE
        WHEN o.seq = (SELECT seq FROM {schema}.outbox WHERE seq > %(tail)s ORDER BY seq LIMIT 1)
            THEN pg_current_snapshot()::text
    END AS snapshot
FROM {schema}.outbox AS o
WHERE o.seq > %(tail)s
ORDER BY o.seq
LIMIT (
    SELECT
        CASE
            WHEN (
                SELECT coalesce(sum(size), 0)
                FROM (
                    SELECT
                        coalesce(octet_length(payload), 0) + coalesce(octet_length(aggregateid), 0)
                            + coalesce(pg_column_size(headers), 0) AS size
                    FROM {schema}.outbox
                    WHERE seq > %(tail)s
                    ORDER BY seq
                    LIMIT %(messages)s
                ) AS head
            ) <= %(size)s
                THEN %(messages)s
            ELSE (
                SELECT greatest(count(*), 1)
                FROM (
                    SELECT sum(size) OVER (ORDER BY seq ROWS UNBOUNDED PRECEDING) - size AS before
                    FROM (
                        SELECT
                            seq,
                            coalesce(octet_length(payload), 0) + coalesce(octet_length(aggregateid), 0)
                                + coalesce(pg_column_size(headers), 0) AS size
                        FROM {schema}.outbox
                        WHERE seq > %(tail)s
                        ORDER BY seq
                        LIMIT %(messages)s
                    ) AS head
                ) AS running
                WHERE before < %(size)s
            )
        END
);

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
    CASE WHEN isfinite(o.created_at) THEN (date_part('epoch', o.created_at) * 1000)::bigint ELSE 0 END AS created,
    o.size,
    CASE WHEN o.n = 1 THEN pg_current_snapshot()::text END AS snapshot
FROM (
    SELECT
        merged.*,
        size,
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
    CROSS JOIN LATERAL (
        SELECT coalesce(octet_length(payload), 0) + coalesce(octet_length(aggregateid), 0)
            + coalesce(octet_length(headers::text), 0) AS size
    ) AS of_row
    WINDOW w AS (ORDER BY seq ROWS UNBOUNDED PRECEDING)
    ORDER BY seq
    LIMIT %(messages)s
) AS o
WHERE o.n = 1 OR o.before < %(size)s
ORDER BY o.seq;
