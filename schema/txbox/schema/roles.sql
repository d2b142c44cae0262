-- Four roles that nobody logs in as: make your services' users members of them (GRANT txbox_writer TO orders).
-- Each may do what its part of txbox does, and nothing else; PUBLIC may do nothing. Run it as the owner of the tables,
-- again after each migration, as often as you like: what the roles had before is taken from them in the same transaction.

DO $do$
DECLARE
    role text;
BEGIN
    -- The migrators' lock: two who grant at once would meet at the same rows of the catalog, and one would fail.
    PERFORM pg_advisory_xact_lock(hashtextextended('txbox migrate ' || {literal}, 0));
    FOREACH role IN ARRAY ARRAY['txbox_writer', 'txbox_relay', 'txbox_consumer', 'txbox_viewer'] LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = role);
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role);
        EXCEPTION
            -- Roles belong to the whole server: somebody makes them from another database.
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE EXCEPTION 'role % is not there, and % may not create roles', role, current_user
                    USING ERRCODE = 'insufficient_privilege', HINT = format(
                        'Let who may (CREATEROLE) run CREATE ROLE %I NOLOGIN, then run this again', role
                    );
        END;
    END LOOP;
END
$do$;

REVOKE ALL ON SCHEMA {schema} FROM PUBLIC, txbox_writer, txbox_relay, txbox_consumer, txbox_viewer;
REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM PUBLIC, txbox_writer, txbox_relay, txbox_consumer, txbox_viewer;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA {schema} FROM PUBLIC, txbox_writer, txbox_relay, txbox_consumer, txbox_viewer;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA {schema} FROM PUBLIC, txbox_writer, txbox_relay, txbox_consumer, txbox_viewer;

GRANT USAGE ON SCHEMA {schema} TO txbox_writer, txbox_relay, txbox_consumer, txbox_viewer;
-- Who needs certain tables looks here whether they are there.
GRANT SELECT ON {schema}.migration TO txbox_relay, txbox_consumer, txbox_viewer;

-- Writes messages, and can read none of them. Without seq: one who could choose it (OVERRIDING SYSTEM VALUE) could have a
-- row where the relay has been already.
GRANT INSERT (id, aggregatetype, aggregateid, type, payload, headers, topic, created_at) ON {schema}.outbox
    TO txbox_writer;
GRANT EXECUTE ON FUNCTION {schema}.uuid7() TO txbox_writer;

-- Publishes, keeps its cursor, holds what Kafka refuses, prunes row by row, and lets people wish (outbox retry, skip).
-- To make and drop partitions is the owner's: docs/partitions.md.
GRANT SELECT, DELETE ON {schema}.outbox TO txbox_relay;
GRANT SELECT ON SEQUENCE {schema}.outbox_seq_seq TO txbox_relay;
GRANT SELECT, INSERT, UPDATE ON {schema}.relay_cursor TO txbox_relay;
GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.outbox_held TO txbox_relay;
GRANT SELECT ON {schema}.outbox_readable TO txbox_relay;

-- Takes ids, holds messages and tries them again, and lets people mend them (held retry, edit, discard). What handlers do
-- is the service's own: its tables, and txbox_writer if they write messages.
GRANT SELECT, INSERT ON {schema}.consumers TO txbox_consumer;
GRANT SELECT, INSERT, DELETE ON {schema}.processed_messages TO txbox_consumer;
GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.held_messages TO txbox_consumer;
GRANT SELECT ON {schema}.processed_messages_readable TO txbox_consumer;

-- What people did is written down, and stays so.
GRANT INSERT ON {schema}.audit TO txbox_relay, txbox_consumer;
GRANT EXECUTE ON FUNCTION {schema}.readable(bytea) TO txbox_relay, txbox_consumer;

-- Looks at everything but what messages say: no payload, no headers, no results. Keys and errors are shown.
GRANT SELECT ON {schema}.relay_cursor, {schema}.consumers, {schema}.audit TO txbox_viewer;
GRANT SELECT ON SEQUENCE {schema}.outbox_seq_seq TO txbox_viewer;
GRANT SELECT (seq, id, aggregatetype, aggregateid, type, topic, created_at) ON {schema}.outbox TO txbox_viewer;
GRANT SELECT (
    cursor_name, seq, id, aggregatetype, aggregateid, type, topic, created_at, reason, error, attempts, held_at, wish
) ON {schema}.outbox_held TO txbox_viewer;
GRANT SELECT (consumer_id, message_id, topic, kafka_partition, kafka_offset, processed_at)
    ON {schema}.processed_messages TO txbox_viewer;
GRANT SELECT (
    n, consumer_id, message_id, state, blocks, reason, error, attempts, due_at, key, type, topic, kafka_partition,
    kafka_offset, record_timestamp, first_failed_at, last_failed_at
) ON {schema}.held_messages TO txbox_viewer;

-- The function for triggers and other languages, in the versions that have it: whoever may write may call it.
DO $do$
DECLARE
    function regprocedure;
BEGIN
    FOR function IN
        SELECT p.oid
        FROM pg_proc AS p
        JOIN pg_namespace AS n ON n.oid = p.pronamespace
        WHERE n.nspname = {literal} AND p.proname = 'publish'
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO txbox_writer', function);
    END LOOP;
END
$do$;
