-- name: orders
-- The orders service's own tables. A customer's row is locked by each order of hers: her orders have an order.
CREATE TABLE customers (
    id int NOT NULL PRIMARY KEY,
    orders int NOT NULL DEFAULT 0
);
CREATE TABLE orders (
    id uuid NOT NULL PRIMARY KEY,
    customer int NOT NULL REFERENCES customers,
    -- her first, second, third order
    nth int NOT NULL,
    total int NOT NULL,
    placed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
INSERT INTO customers (id) SELECT generate_series(1, %(customers)s);

-- name: billing
-- The billing service's own tables. Nothing here refuses a second charge for an order: if one is made, it shows.
CREATE TABLE accounts (
    customer int NOT NULL PRIMARY KEY,
    owed bigint NOT NULL DEFAULT 0
);
CREATE TABLE charges (
    n bigint NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id uuid NOT NULL,
    customer int NOT NULL,
    nth int NOT NULL,
    amount int NOT NULL,
    charged_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
INSERT INTO accounts (customer) SELECT generate_series(1, %(customers)s);

-- name: provider
-- What is the matter with the payment provider.
CREATE TABLE provider (
    away_until timestamptz NOT NULL DEFAULT '-infinity',
    -- whose card it refuses
    expired_card int
);
INSERT INTO provider (expired_card) VALUES (%(expired_card)s);

-- name: held
-- Every message that was ever held, and whether it was ever dead: of txbox's own table only those that still are can be
-- counted. A trigger sees what is committed and nothing else, whoever is killed.
CREATE TABLE held (
    message_id uuid NOT NULL PRIMARY KEY,
    -- none, if nobody can read it
    order_id uuid,
    was_dead boolean NOT NULL
);
CREATE FUNCTION note_held() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO held (message_id, order_id, was_dead)
    VALUES (
        NEW.message_id,
        CASE WHEN NEW.reason NOT IN ('unreadable', 'no_id')
            THEN (convert_from(NEW.payload, 'UTF8')::jsonb ->> 'order')::uuid
        END,
        NEW.state = 'dead'
    )
    ON CONFLICT (message_id) DO UPDATE SET was_dead = held.was_dead OR excluded.was_dead;
    RETURN NULL;
END $$;
CREATE TRIGGER note_held AFTER INSERT OR UPDATE ON txbox.held_messages FOR EACH ROW EXECUTE FUNCTION note_held();

-- name: orders_users
CREATE ROLE shop_orders LOGIN IN ROLE txbox_writer;
CREATE ROLE shop_relay LOGIN IN ROLE txbox_relay;

-- name: orders_grants
-- The orders service writes messages and reads none; the relay sees no order.
GRANT SELECT, UPDATE ON customers TO shop_orders;
GRANT SELECT, INSERT ON orders TO shop_orders;

-- name: billing_users
CREATE ROLE shop_billing LOGIN IN ROLE txbox_consumer;
CREATE ROLE shop_on_call LOGIN IN ROLE txbox_consumer;

-- name: billing_grants
-- Who is called at night mends held messages, and charges nobody.
GRANT SELECT ON provider TO shop_billing;
GRANT INSERT ON charges TO shop_billing;
GRANT SELECT, UPDATE ON accounts TO shop_billing;
