CREATE TABLE samples (
    id bigint PRIMARY KEY,
    a_boolean boolean,
    a_smallint smallint,
    an_integer integer,
    a_bigint bigint,
    a_real real,
    a_double double precision,
    a_text text,
    some_bytes bytea,
    a_uuid uuid,
    a_time timestamptz,
    a_date date,
    a_decimal numeric,
    a_price numeric(12, 2),
    a_document jsonb
);

CREATE TABLE notes (
    id bigint PRIMARY KEY,
    text text NOT NULL,
    written_at timestamptz NOT NULL DEFAULT now(),
    mark uuid NOT NULL DEFAULT gen_random_uuid()
);

CREATE TABLE counters (
    name text PRIMARY KEY,
    value bigint NOT NULL DEFAULT 0
);

CREATE TABLE shelves (
    id bigint PRIMARY KEY,
    name text NOT NULL UNIQUE
);

CREATE TABLE products (
    id bigint PRIMARY KEY,
    shelf bigint NOT NULL REFERENCES shelves (id),
    code varchar(10) NOT NULL,
    price numeric(12, 2) NOT NULL DEFAULT 0,
    CONSTRAINT products_price CHECK (price >= 0),
    UNIQUE (shelf, code)
);

CREATE TABLE parts (
    product bigint NOT NULL REFERENCES products (id) ON DELETE CASCADE,
    name text NOT NULL,
    PRIMARY KEY (product, name)
);

CREATE TABLE offers (
    id bigint PRIMARY KEY,
    product bigint REFERENCES products (id) ON DELETE SET NULL
);

CREATE TABLE papers (
    id uuid PRIMARY KEY,
    title text NOT NULL,
    state text NOT NULL,
    author uuid,
    price numeric(12, 2) NOT NULL,
    words bigint NOT NULL,
    is_open boolean NOT NULL,
    due timestamptz,
    notes text NOT NULL,
    UNIQUE (title)
);

CREATE TABLE sections (
    id uuid PRIMARY KEY,
    paper_id uuid NOT NULL REFERENCES papers (id),
    kind text NOT NULL
);

CREATE TABLE remarks (
    id uuid PRIMARY KEY,
    section_id uuid NOT NULL REFERENCES sections (id) ON DELETE CASCADE,
    kind text NOT NULL
);
