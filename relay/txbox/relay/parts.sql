-- name: bound
-- Every seq below is done, for every relay; NULL while none has ever led.
SELECT min(least(tail + 1, lower(gaps))) FROM {schema}.relay_cursor;

-- name: pages
SELECT pg_relation_size(%(part)s::regclass) / current_setting('block_size')::bigint;
