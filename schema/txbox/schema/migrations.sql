-- name: lock
-- Two migrators at once take turns: the second one finds nothing left to do.
SELECT pg_advisory_xact_lock(hashtextextended('txbox migrate ' || %(schema)s, 0));

-- name: has_ledger
SELECT to_regclass(%(ledger)s) IS NOT NULL;

-- name: applied
SELECT version, name, checksum, applied_at
FROM {schema}.migration
ORDER BY version;

-- name: note
INSERT INTO {schema}.migration (version, name, checksum)
VALUES (%(version)s, %(name)s, %(checksum)s);
