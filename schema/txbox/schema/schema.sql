-- The whole schema as it stands after all migrations; a test holds the two together.
-- {schema} is replaced by the quoted name of the schema (txbox unless configured).

CREATE SCHEMA IF NOT EXISTS {schema};

-- What ran here, and its checksum when it ran.
CREATE TABLE {schema}.migration (
    version int NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT migration_pkey PRIMARY KEY (version)
);

-- A time-ordered id: neighbours in time are neighbours in the inbox's index. PostgreSQL 18 has its own.
DO $do$
BEGIN
    IF to_regprocedure('pg_catalog.uuidv7()') IS NOT NULL THEN
        CREATE FUNCTION {schema}.uuid7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE
            AS 'SELECT pg_catalog.uuidv7()';
    ELSE
        -- RFC 9562, 5.7: 48 bits of Unix milliseconds over a random version 4, then the version's bits (0100 -> 0111).
        CREATE FUNCTION {schema}.uuid7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE
            AS $fn$
                SELECT encode(
                    set_bit(set_bit(
                        overlay(
                            uuid_send(gen_random_uuid())
                            PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
                            FROM 1 FOR 6),
                        52, 1), 53, 1),
                    'hex')::uuid
            $fn$;
    END IF;
END
$do$;

-- Bytes for people to read: text where they are UTF-8, else hex. For views only.
CREATE FUNCTION {schema}.readable(bytes bytea) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    AS $fn$
BEGIN
    RETURN convert_from(bytes, 'UTF8');
EXCEPTION WHEN character_not_in_repertoire OR untranslatable_character THEN
    RETURN bytes::text;
END
$fn$;

-- Messages in the order in which they were inserted. Append only: nothing updates a row and only pruning deletes one,
-- so that the hot path leaves no dead tuple. Whoever inserts holds a lock on the sequence until its transaction has
-- ended: the relay decides by it whether a missing seq may still appear. CACHE 1, or a session could use a seq later
-- than its lock says.
CREATE TABLE {schema}.outbox (
    seq bigint NOT NULL GENERATED ALWAYS AS IDENTITY (CACHE 1),
    id uuid NOT NULL DEFAULT {schema}.uuid7(),
    aggregatetype text,
    aggregateid text,
    type text NOT NULL,
    payload bytea,
    headers jsonb,
    topic text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- The one index: the relay reads by seq. An index on id would cost every writer, and serve only a look-up by hand.
    CONSTRAINT outbox_pkey PRIMARY KEY (seq),
    -- A row that names neither could never be published.
    CONSTRAINT outbox_has_route CHECK (topic IS NOT NULL OR aggregatetype IS NOT NULL)
);

CREATE VIEW {schema}.outbox_readable AS
SELECT
    seq,
    id,
    coalesce(topic, aggregatetype) AS route,
    aggregateid AS key,
    type,
    {schema}.readable(payload) AS payload,
    headers,
    created_at
FROM {schema}.outbox;

-- For triggers and for other languages: what Outbox.add does, in SQL. The payload is json and not jsonb, so that its
-- text is kept as it was written; nor bytea, whose input would take a JSON text's backslashes for its own, in silence.
-- It runs with the rights of its caller: who may insert into the outbox may publish. What Kafka would refuse is refused
-- here, since the relay would have to stop before such a row.
CREATE FUNCTION {schema}.publish(
    type text,
    payload json DEFAULT NULL,
    topic text DEFAULT NULL,
    key text DEFAULT NULL,
    headers jsonb DEFAULT NULL,
    aggregate text DEFAULT NULL
) RETURNS uuid LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = pg_catalog, pg_temp
    AS $fn$
DECLARE
    -- Made first: to read it back from the row would need the right to read the outbox.
    new_id CONSTANT uuid := {schema}.uuid7();
    value CONSTANT bytea := convert_to(payload::text, 'UTF8');
    most CONSTANT int := coalesce(nullif(current_setting('txbox.max_payload', true), ''), '900000');
    wrong text;
BEGIN
    wrong := CASE
        WHEN coalesce(type, '') = '' THEN 'type is what happened, by which consumers choose their handler: give a text'
        WHEN topic IS NULL AND aggregate IS NULL THEN 'where is it to go? Give topic => ... or aggregate => ...'
        WHEN topic !~ '^[a-zA-Z0-9._-]{{1,249}}$' OR topic IN ('.', '..') THEN
            format('Kafka allows no topic %L: use up to 249 letters, digits, dots, dashes, underscores', topic)
        WHEN aggregate !~ '^[a-zA-Z0-9._-]{{1,249}}$' OR aggregate IN ('.', '..') THEN
            format('Kafka allows no topic with %L in it: use letters, digits, dots, dashes, underscores', aggregate)
        WHEN key = '' THEN 'key is empty: give NULL for a message without one'
        WHEN jsonb_typeof(headers) <> 'object' THEN 'headers are one JSON object: name, value'
        WHEN headers ?| ARRAY['id', 'type', ''] THEN 'headers have names, and those called id and type are set by txbox'
        -- As a path: a query would cost each call a plan of its own.
        WHEN jsonb_path_exists(headers, 'strict $.* ? (
            @.type() != "string" && (
                @.type() != "object" || !exists(@.keyvalue()) || exists(@.keyvalue() ? (
                    @.key != "base64" || @.value.type() != "string"
                    || !(@.value like_regex "^([A-Za-z0-9+/]{{4}})*([A-Za-z0-9+/]{{2}}==|[A-Za-z0-9+/]{{3}}=)?$")
                ))
            )
        )') THEN 'a header is a text, or {{"base64": "..."}} for bytes'
        WHEN length(value) > most THEN
            format('payload is %s bytes, the limit %s: send a reference, or SET txbox.max_payload', length(value), most)
    END;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'txbox.publish: %', wrong USING ERRCODE = 'invalid_parameter_value';
    END IF;
    INSERT INTO {schema}.outbox (id, aggregatetype, aggregateid, type, payload, headers, topic)
    VALUES (new_id, aggregate, key, type, value, headers, topic);
    RETURN new_id;
END
$fn$;

-- One row a relay: every seq up to tail is done, except those in gaps. epoch rises whenever somebody takes the lead,
-- and a save is made only by the epoch's owner. The last four columns say which database the cursor belongs to.
CREATE TABLE {schema}.relay_cursor (
    name text NOT NULL,
    tail bigint NOT NULL DEFAULT 0,
    gaps int8multirange NOT NULL DEFAULT '{{}}',
    epoch bigint NOT NULL DEFAULT 0,
    leader text,
    saved_at timestamptz NOT NULL DEFAULT now(),
    system_identifier text,
    timeline bigint,
    sequence_oid oid,
    sequence_filenode oid,
    CONSTRAINT relay_cursor_pkey PRIMARY KEY (name)
)
-- Updated up to ten times a second for ever: room on the page lets each update stay on it (HOT).
WITH (fillfactor = 50, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);

-- What Kafka refused, and what waits behind it. Copies: pruning the outbox takes nothing from here.
CREATE TABLE {schema}.outbox_held (
    cursor_name text NOT NULL,
    seq bigint NOT NULL,
    id uuid NOT NULL,
    aggregatetype text,
    aggregateid text,
    type text NOT NULL,
    payload bytea,
    headers jsonb,
    topic text NOT NULL,
    created_at timestamptz NOT NULL,
    reason text NOT NULL,
    error text,
    attempts int NOT NULL DEFAULT 0,
    held_at timestamptz NOT NULL DEFAULT now(),
    wish text,
    -- A row is held once for each relay, however often it is read.
    CONSTRAINT outbox_held_pkey PRIMARY KEY (cursor_name, seq),
    -- The relay asks for these two by name: a third would wait for ever.
    CONSTRAINT outbox_held_reason CHECK (reason IN ('refused', 'follows')),
    -- What a person may wish of a row; the leader grants it.
    CONSTRAINT outbox_held_wish CHECK (wish IN ('retry', 'skip'))
);

-- The first row of a key, the rows behind it, and whether a key is held at all.
CREATE INDEX outbox_held_key_idx ON {schema}.outbox_held (cursor_name, topic, aggregateid, seq);

-- The leader looks for wishes once a second: this is empty nearly always, however much is held.
CREATE INDEX outbox_held_wish_idx ON {schema}.outbox_held (cursor_name, seq) WHERE wish IS NOT NULL;

-- What people changed: every retry and skip, with who and when. Nothing here is ever deleted by txbox.
CREATE TABLE {schema}.audit (
    at timestamptz NOT NULL DEFAULT now(),
    who text NOT NULL,
    command text NOT NULL,
    what jsonb NOT NULL
);

-- A consumer's number, so that an id in the inbox costs 4 bytes for it and a consumer can be renamed.
CREATE TABLE {schema}.consumers (
    id int NOT NULL GENERATED ALWAYS AS IDENTITY,
    name text NOT NULL,
    CONSTRAINT consumers_pkey PRIMARY KEY (id),
    CONSTRAINT consumers_name_key UNIQUE (name)
);

-- The inbox: an id in it is taken. No foreign key to consumers: its check would lock a row there for each message.
CREATE TABLE {schema}.processed_messages (
    consumer_id int NOT NULL,
    message_id uuid NOT NULL,
    topic text NOT NULL,
    kafka_partition int NOT NULL,
    kafka_offset bigint NOT NULL,
    processed_at timestamptz NOT NULL DEFAULT now(),
    result bytea,
    -- Decides who handles a message: the second one to insert an id finds it here.
    CONSTRAINT processed_messages_pkey PRIMARY KEY (consumer_id, message_id)
);

CREATE VIEW {schema}.processed_messages_readable AS
SELECT
    c.name AS consumer,
    p.message_id,
    p.topic,
    p.kafka_partition,
    p.kafka_offset,
    p.processed_at,
    {schema}.readable(p.result) AS result
FROM {schema}.processed_messages AS p
JOIN {schema}.consumers AS c ON c.id = p.consumer_id;

-- A message that was taken but has not had its effect has exactly one row here, and the row is the right to run it.
CREATE TABLE {schema}.held_messages (
    n bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    consumer_id int NOT NULL,
    message_id uuid NOT NULL,
    state text NOT NULL,
    blocks boolean NOT NULL,
    reason text NOT NULL,
    error text,
    attempts int NOT NULL,
    due_at timestamptz,
    key bytea,
    type text,
    payload bytea,
    headers jsonb NOT NULL,
    topic text NOT NULL,
    kafka_partition int NOT NULL,
    kafka_offset bigint NOT NULL,
    record_timestamp timestamptz,
    first_failed_at timestamptz NOT NULL DEFAULT now(),
    last_failed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT held_messages_pkey PRIMARY KEY (consumer_id, message_id),
    CONSTRAINT held_messages_state CHECK (state IN ('waiting', 'dead')),
    -- blocks: does this row hold its key? A key is held while it has such a row, waiting or dead, whoever has the
    -- partition.
    CONSTRAINT held_messages_blocks CHECK (key IS NOT NULL OR NOT blocks)
);

-- The head of a key, those behind it, and whether a key is held at all; n and not the offset, which starts again in a
-- new partition. A key may be of any length, what an index holds may not (2,704 bytes, or no row could be inserted): so
-- keys that begin with the same 1,000 bytes are held as one.
CREATE INDEX held_messages_key_idx ON {schema}.held_messages (consumer_id, topic, substring(key FROM 1 FOR 1000), n)
    WHERE blocks;

-- What is due. Only the first row of a key has a time, and messages without a key: those behind it are due when it is
-- gone.
CREATE INDEX held_messages_due_idx ON {schema}.held_messages (consumer_id, due_at)
    WHERE state = 'waiting' AND due_at IS NOT NULL;

-- For people: what is dead, the newest last.
CREATE INDEX held_messages_dead_idx ON {schema}.held_messages (consumer_id, n) WHERE state = 'dead';
