CREATE TABLE profile (
    id integer PRIMARY KEY CHECK (id = 1),
    tagline text,
    currency text NOT NULL
);

CREATE TABLE products (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    code text NOT NULL UNIQUE,
    price numeric(12, 2) NOT NULL,
    added_by uuid REFERENCES users (id) ON DELETE SET NULL,
    added_on timestamptz NOT NULL
);
CREATE INDEX products_name ON products (name, id);
CREATE INDEX products_added_on ON products (added_on, id);
