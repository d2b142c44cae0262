-- name: batch
-- Up to so many rows from `start` on, below the first seq that any saved cursor has not done; the old ones are deleted.
-- Bound and rows are of one snapshot: a cursor saved since is further on. No cursor, no bound, no row.
-- Both walks go by the primary key. By `start`, since deleted rows stay at its left edge until a vacuum, and would be
-- passed over at each batch; there is no index on created_at, which would cost every writer.
WITH seen AS MATERIALIZED (
    SELECT seq, created_at < now() - make_interval(secs => %(older_than)s) AS old
    FROM {schema}.outbox
    WHERE seq >= %(start)s
        AND seq < (SELECT min(least(tail + 1, lower(gaps))) FROM {schema}.relay_cursor)
    ORDER BY seq
    LIMIT %(rows)s
),
gone AS (
    DELETE FROM {schema}.outbox
    WHERE seq = ANY(ARRAY(SELECT seq FROM seen WHERE old AND NOT %(dry_run)s::boolean))
    RETURNING seq
)
SELECT
    count(*) AS seen,
    count(*) FILTER (WHERE old) AS old,
    (SELECT count(*) FROM gone) AS deleted,
    max(seq) AS last,
    min(seq) FILTER (WHERE NOT old) AS young
FROM seen;
