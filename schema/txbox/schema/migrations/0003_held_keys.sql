-- Held messages are tried again, and hold up those behind them in their key.

-- blocks: does this row hold its key? A key is held while it has such a row, waiting or dead, whoever has the partition.
ALTER TABLE {schema}.held_messages
    ADD CONSTRAINT held_messages_blocks CHECK (key IS NOT NULL OR NOT blocks);

-- The head of a key, those behind it, and whether a key is held at all. A key may be of any length, what an index holds
-- may not (2,704 bytes, or no row could be inserted): so keys that begin with the same 1,000 bytes are held as one.
DROP INDEX {schema}.held_messages_key_idx;
CREATE INDEX held_messages_key_idx ON {schema}.held_messages (consumer_id, topic, substring(key FROM 1 FOR 1000), n)
    WHERE blocks;

-- What is due. Only the first row of a key has a time, and messages without a key: those behind it are due when it is gone.
CREATE INDEX held_messages_due_idx ON {schema}.held_messages (consumer_id, due_at)
    WHERE state = 'waiting' AND due_at IS NOT NULL;

-- For people: what is dead, the newest last.
CREATE INDEX held_messages_dead_idx ON {schema}.held_messages (consumer_id, n) WHERE state = 'dead';
