-- Where the migrations note themselves; made before the first of them.

CREATE SCHEMA IF NOT EXISTS {schema};

-- What ran here, and its checksum when it ran.
CREATE TABLE IF NOT EXISTS {schema}.migration (
    version int NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT migration_pkey PRIMARY KEY (version)
);
