-- name: last
-- How old the row with the highest seq is, in seconds: nearly always the youngest.
SELECT date_part('epoch', now() - created_at) FROM {schema}.{part} ORDER BY seq DESC LIMIT 1;

-- name: pages
-- How many rows some pages have, and how old the youngest is.
SELECT count(*) AS rows, date_part('epoch', now() - max(created_at)) AS age
FROM {schema}.{part}
WHERE ctid >= {first}::tid AND ctid < {beyond}::tid;
