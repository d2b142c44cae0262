-- Rows that Kafka refuses may be put aside; and a book of what people did about them.

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
