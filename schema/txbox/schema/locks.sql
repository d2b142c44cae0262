-- name: keep_short
-- A share of deadlock_timeout, a second at the most: who deadlocks with us has not looked yet when we give way.
-- And should our process be frozen (SIGSTOP, Ctrl-Z, a paused machine) the server takes our locks back.
SELECT
    set_config('lock_timeout', greatest(least(setting::int, 1000) * %(share)s, 1)::int || 'ms', true),
    set_config('idle_in_transaction_session_timeout', '2s', true)
FROM pg_settings
WHERE name = 'deadlock_timeout';

-- name: in_use
-- Who holds a lock on a table or sequence of the schema, longest first. Prepared transactions have no session.
SELECT
    l.pid,
    coalesce(min(a.application_name), '') AS application,
    CASE
        WHEN l.pid IS NULL THEN 'prepared transaction'
        ELSE coalesce(min(a.state), 'the rest is shown to members of pg_read_all_stats only')
    END AS state,
    coalesce(date_part('epoch', clock_timestamp() - min(coalesce(a.xact_start, p.prepared))), 0) AS seconds
FROM pg_locks AS l
JOIN pg_class AS c ON c.oid = l.relation
LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
LEFT JOIN pg_locks AS own
    ON l.pid IS NULL AND own.virtualtransaction = l.virtualtransaction AND own.locktype = 'transactionid'
LEFT JOIN pg_prepared_xacts AS p ON p.transaction = own.transactionid
WHERE l.locktype = 'relation'
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND l.granted
    AND c.relkind IN ('r', 'p', 'S', 'v')
    AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = %(schema)s)
    AND l.pid IS DISTINCT FROM pg_backend_pid()
GROUP BY l.pid, l.virtualtransaction
ORDER BY seconds DESC
LIMIT 5;
