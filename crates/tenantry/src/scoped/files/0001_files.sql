-- What links to files are signed with.
CREATE TABLE file_keys (
    id uuid PRIMARY KEY,
    secret bytea NOT NULL,
    created_at timestamptz NOT NULL
);
