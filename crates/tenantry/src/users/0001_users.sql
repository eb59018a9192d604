CREATE TABLE users (
    id uuid PRIMARY KEY,
    email text NOT NULL UNIQUE,
    password_hash text NOT NULL,
    first_name text NOT NULL DEFAULT '',
    last_name text NOT NULL DEFAULT '',
    role text NOT NULL,
    active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL,
    email_verified_at timestamptz
);

CREATE TABLE tokens (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name text NOT NULL DEFAULT '',
    prefix text NOT NULL,
    digest bytea NOT NULL UNIQUE,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz NOT NULL
);
CREATE INDEX tokens_prefix ON tokens (prefix);
CREATE INDEX tokens_user_id ON tokens (user_id, used_at);
CREATE INDEX tokens_expires_at ON tokens (expires_at);

-- What is mailed to somebody: to set a password, to prove an address, to join. A link for a new
-- password that an unknown address asked for has no user, and opens nothing.
CREATE TABLE links (
    id uuid PRIMARY KEY,
    purpose text NOT NULL,
    user_id uuid REFERENCES users (id) ON DELETE CASCADE,
    email text NOT NULL,
    role text,
    digest bytea NOT NULL UNIQUE,
    made_by uuid REFERENCES users (id) ON DELETE SET NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX links_user_id ON links (user_id);
CREATE INDEX links_made_by ON links (made_by);
CREATE INDEX links_email ON links (email);
CREATE INDEX links_expires_at ON links (expires_at);

CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    digest bytea NOT NULL UNIQUE,
    user_id uuid REFERENCES users (id) ON DELETE CASCADE,
    data jsonb NOT NULL,
    agent text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz NOT NULL
);
CREATE INDEX sessions_user_id ON sessions (user_id);
CREATE INDEX sessions_expires_at ON sessions (expires_at);

CREATE TABLE jwt_keys (
    id uuid PRIMARY KEY,
    secret bytea NOT NULL,
    created_at timestamptz NOT NULL
);

-- A sign-in and all refreshes that followed it; `current` is the one refresh token that is good.
CREATE TABLE jwt_families (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    current uuid NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX jwt_families_user_id ON jwt_families (user_id);
CREATE INDEX jwt_families_expires_at ON jwt_families (expires_at);

CREATE TABLE api_keys (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    scopes jsonb NOT NULL,
    prefix text NOT NULL,
    digest bytea NOT NULL UNIQUE,
    made_by uuid REFERENCES users (id) ON DELETE SET NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    used_at timestamptz
);
CREATE INDEX api_keys_made_by ON api_keys (made_by);

CREATE TABLE second_factors (
    user_id uuid PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    secret bytea NOT NULL,
    confirmed_at timestamptz,
    last_step bigint NOT NULL DEFAULT 0
);
CREATE TABLE recovery_codes (
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    digest bytea NOT NULL,
    PRIMARY KEY (user_id, digest)
);

-- Where somebody has signed in from, so that who tries passwords elsewhere does not keep them out.
CREATE TABLE known_addresses (
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    address text NOT NULL,
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, address)
);

-- Written once: whoever may add to it may neither change nor remove what is there.
CREATE TABLE audit_log (
    id uuid PRIMARY KEY,
    at timestamptz NOT NULL,
    action text NOT NULL,
    actor_kind text NOT NULL,
    actor_id uuid,
    actor text NOT NULL,
    subject_id uuid,
    subject text NOT NULL,
    detail text NOT NULL,
    address text NOT NULL,
    operator text
);
CREATE INDEX audit_log_at ON audit_log (at, id);
