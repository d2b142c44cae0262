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
