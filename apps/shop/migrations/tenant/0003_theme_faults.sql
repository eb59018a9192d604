-- Why the shop's own theme could not be used on some page, the last time that it was told.
CREATE TABLE theme_faults (
    id integer PRIMARY KEY CHECK (id = 1),
    version text NOT NULL,
    part text NOT NULL,
    error text NOT NULL,
    told_at timestamptz NOT NULL
);
