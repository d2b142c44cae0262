-- What `txbox.schema.sql` is made of. Each step is run from a text: by then there is what the one before it made.

-- name: whole
DO $txbox$
BEGIN
-- Migrators take turns, of whatever kind they are.
PERFORM pg_advisory_xact_lock(hashtextextended('txbox migrate ' || {literal}, 0));

{ledger}
{steps};
END
$txbox$

-- name: step
IF EXISTS (SELECT FROM {schema}.migration WHERE version = {version} AND checksum <> {checksum}) THEN
    RAISE EXCEPTION 'migration {version} was edited after it ran: its checksum in the ledger differs';
ELSIF NOT EXISTS (SELECT FROM {schema}.migration WHERE version = {version}) THEN
EXECUTE $txbox_{version}$
{text}
$txbox_{version}$;
INSERT INTO {schema}.migration (version, name, checksum) VALUES ({version}, {step}, {checksum});
END IF;
