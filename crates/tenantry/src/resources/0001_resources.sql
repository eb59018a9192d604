-- What a tenant forbids beyond what the application does.
CREATE TABLE access_policies (
    name text PRIMARY KEY,
    source text NOT NULL,
    changed_at timestamptz NOT NULL
);

-- What was answered to who may ask again because no answer arrived.
CREATE TABLE idempotency_keys (
    principal text NOT NULL,
    key text NOT NULL,
    request bytea NOT NULL,
    answer jsonb,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (principal, key)
);
CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at);
