-- Messages may be written by triggers, and by programs in any language.

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
