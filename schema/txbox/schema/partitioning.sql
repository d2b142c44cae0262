-- Names of tables and bounds enter in the places in braces: through `compose`, which quotes them.

-- name: lock
-- First the lock that no writer notices. Who waits for it has autovacuum make way, which takes a second; the one that
-- excludes writers is never waited for so long. Whatever the database's default: what is read after a lock was waited
-- for is what others committed before.
SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
SET LOCAL lock_timeout = '5s';
LOCK TABLE ONLY {schema}.outbox IN SHARE UPDATE EXCLUSIVE MODE;

-- name: lock_alone
LOCK TABLE ONLY {schema}.outbox IN ACCESS EXCLUSIVE MODE;

-- name: lock_sequence
-- Changes nothing, and waits for all who drew from it and are still open.
ALTER SEQUENCE {sequence} CACHE 1;

-- name: lock_part
LOCK TABLE {schema}.{part} IN ACCESS EXCLUSIVE MODE;

-- name: make_way
-- The identity goes, and its sequence with it: which waits for all who drew from it and are still open. So nothing that
-- was drawn from it is undecided any more.
ALTER TABLE {schema}.outbox ALTER COLUMN seq DROP IDENTITY;
ALTER TABLE {schema}.outbox RENAME CONSTRAINT outbox_pkey TO outbox_p0_pkey;
ALTER TABLE {schema}.outbox RENAME TO outbox_p0;

-- name: make_parent
-- One partition for all seqs: nothing has to be scanned to know that its rows belong there.
CREATE TABLE {schema}.outbox (
    LIKE {schema}.outbox_p0 INCLUDING ALL EXCLUDING INDEXES EXCLUDING STATISTICS,
    CONSTRAINT outbox_pkey PRIMARY KEY (seq)
) PARTITION BY RANGE (seq);
ALTER TABLE {schema}.outbox ALTER COLUMN seq
    ADD GENERATED ALWAYS AS IDENTITY (SEQUENCE NAME {schema}.outbox_seq_seq CACHE 1);
ALTER TABLE {schema}.outbox ATTACH PARTITION {schema}.outbox_p0 FOR VALUES FROM (MINVALUE) TO (MAXVALUE);

-- name: make_view
CREATE OR REPLACE VIEW {schema}.outbox_readable AS {definition};

-- name: follow
-- The cursors belong to the new sequence, in the transaction that makes it: relays go on as if nothing had been.
-- The lock waits for a relay that takes the lead at this moment: it would note the sequence that is no more.
LOCK TABLE {schema}.relay_cursor IN SHARE ROW EXCLUSIVE MODE;
UPDATE {schema}.relay_cursor
SET sequence_oid = s.oid, sequence_filenode = pg_relation_filenode(s.oid)
FROM (SELECT pg_get_serial_sequence({table}, 'seq')::regclass::oid) AS s (oid)
WHERE sequence_oid = {old};

-- name: set_below
-- Both ends: what is detached forgets its lower one, and would be read through when it is attached again.
ALTER TABLE {schema}.{part} ADD CONSTRAINT {constraint} CHECK (seq >= {lower} AND seq < {upper}) NOT VALID;

-- name: validate
ALTER TABLE {schema}.{part} VALIDATE CONSTRAINT {constraint};

-- name: make_part
-- Made beside the outbox, and attached in a moment when it is locked anyway.
CREATE TABLE {schema}.{part} (
    LIKE {schema}.outbox INCLUDING ALL EXCLUDING INDEXES EXCLUDING IDENTITY EXCLUDING STATISTICS,
    CONSTRAINT {pkey} PRIMARY KEY (seq)
);

-- name: own_part
ALTER TABLE {schema}.{part} OWNER TO {owner};

-- name: detach
ALTER TABLE {schema}.outbox DETACH PARTITION {schema}.{part};

-- name: attach
ALTER TABLE {schema}.outbox ATTACH PARTITION {schema}.{part} FOR VALUES FROM ({lower}) TO ({upper});

-- name: rename
ALTER TABLE {schema}.{part} RENAME TO {to};

-- name: rename_key
ALTER TABLE {schema}.{part} RENAME CONSTRAINT {old} TO {new};

-- name: drop_below
ALTER TABLE {schema}.{part} DROP CONSTRAINT {constraint};

-- name: holds
SELECT EXISTS (SELECT FROM {schema}.{part});

-- name: drop
-- The files go after the locks are given back.
DROP TABLE {schema}.{part};
