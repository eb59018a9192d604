//! The catalog's own tables, in the central database.

use super::{domains, events, usage};
use crate::migrate::Migrations;

/// Every change of a tenant leaves a row in `tenantry_changes`, by trigger, so that no writer can
/// forget to: other processes follow them to know what to drop from memory. The last 10,000 are
/// kept; who has fallen behind further drops everything.
const SQLITE: &str = "
CREATE TABLE tenantry_tenants (
    id TEXT NOT NULL PRIMARY KEY,
    code TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('creating', 'active', 'suspended', 'deleting')),
    isolation TEXT NOT NULL,
    server TEXT NOT NULL,
    schema_version TEXT NOT NULL,
    created_at TEXT NOT NULL
) STRICT;
CREATE INDEX tenantry_tenants_unfinished ON tenantry_tenants (status)
    WHERE status IN ('creating', 'deleting');
CREATE INDEX tenantry_tenants_schema_version ON tenantry_tenants (schema_version);

CREATE TABLE tenantry_changes (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id TEXT NOT NULL,
    code TEXT NOT NULL
) STRICT;
CREATE TRIGGER tenantry_tenants_inserted AFTER INSERT ON tenantry_tenants BEGIN
    INSERT INTO tenantry_changes (tenant_id, code) VALUES (new.id, new.code);
    DELETE FROM tenantry_changes WHERE seq <= last_insert_rowid() - 10000;
END;
CREATE TRIGGER tenantry_tenants_updated
    AFTER UPDATE OF code, name, status, isolation, server ON tenantry_tenants BEGIN
    INSERT INTO tenantry_changes (tenant_id, code) VALUES (old.id, old.code);
    INSERT INTO tenantry_changes (tenant_id, code) SELECT new.id, new.code
        WHERE new.code <> old.code;
    DELETE FROM tenantry_changes WHERE seq <= last_insert_rowid() - 10000;
END;
CREATE TRIGGER tenantry_tenants_deleted AFTER DELETE ON tenantry_tenants BEGIN
    INSERT INTO tenantry_changes (tenant_id, code) VALUES (old.id, old.code);
    DELETE FROM tenantry_changes WHERE seq <= last_insert_rowid() - 10000;
END;
";

/// On PostgreSQL those who listen are told at once.
const POSTGRES: &str = "
CREATE TABLE tenantry_tenants (
    id uuid PRIMARY KEY,
    code text NOT NULL UNIQUE,
    name text NOT NULL,
    status text NOT NULL CHECK (status IN ('creating', 'active', 'suspended', 'deleting')),
    isolation text NOT NULL,
    server text NOT NULL,
    schema_version text NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX tenantry_tenants_unfinished ON tenantry_tenants (status)
    WHERE status IN ('creating', 'deleting');
CREATE INDEX tenantry_tenants_schema_version ON tenantry_tenants (schema_version);

CREATE FUNCTION tenantry_tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM pg_notify('tenantry', old.id || ' ' || old.code);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM pg_notify('tenantry', new.id || ' ' || new.code);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER tenantry_tenants_changed
    AFTER INSERT OR DELETE OR UPDATE OF code, name, status, isolation, server
    ON tenantry_tenants FOR EACH ROW EXECUTE FUNCTION tenantry_tell();
";

const OPERATORS_SQLITE: &str = "
CREATE TABLE tenantry_operators (
    id TEXT NOT NULL PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('viewer', 'support', 'admin')),
    password_hash TEXT NOT NULL,
    created_at TEXT NOT NULL,
    disabled_at TEXT,
    totp_secret BLOB,
    totp_confirmed_at TEXT,
    totp_step INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE tenantry_operator_tokens (
    id TEXT NOT NULL PRIMARY KEY,
    operator_id TEXT NOT NULL REFERENCES tenantry_operators (id),
    digest BLOB NOT NULL UNIQUE,
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL
) STRICT;
CREATE TABLE tenantry_operator_codes (
    operator_id TEXT NOT NULL REFERENCES tenantry_operators (id),
    digest BLOB NOT NULL,
    PRIMARY KEY (operator_id, digest)
) STRICT;
CREATE TABLE tenantry_impersonations (
    id TEXT NOT NULL PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    operator_id TEXT NOT NULL REFERENCES tenantry_operators (id),
    tenant_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    reason TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    until TEXT NOT NULL
) STRICT;
CREATE TABLE tenantry_audit (
    id TEXT NOT NULL PRIMARY KEY,
    at TEXT NOT NULL,
    action TEXT NOT NULL,
    operator TEXT NOT NULL,
    tenant TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL,
    address TEXT NOT NULL
) STRICT;
CREATE TRIGGER tenantry_audit_unchanged BEFORE UPDATE ON tenantry_audit BEGIN
    SELECT RAISE(ABORT, 'what was written down stays as it is');
END;
CREATE TRIGGER tenantry_audit_kept BEFORE DELETE ON tenantry_audit BEGIN
    SELECT RAISE(ABORT, 'what was written down stays as it is');
END;
";

const ACCOUNTS_SQLITE: &str = "
CREATE TABLE tenantry_accounts (
    id TEXT NOT NULL PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    first_name TEXT NOT NULL,
    last_name TEXT NOT NULL,
    created_at TEXT NOT NULL,
    disabled_at TEXT,
    password_hash TEXT NOT NULL
) STRICT;
CREATE TABLE tenantry_account_tokens (
    id TEXT NOT NULL PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES tenantry_accounts (id) ON DELETE CASCADE,
    digest BLOB NOT NULL UNIQUE,
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL
) STRICT;
CREATE INDEX tenantry_account_tokens_account_id ON tenantry_account_tokens (account_id);
CREATE TABLE tenantry_memberships (
    tenant_id TEXT NOT NULL REFERENCES tenantry_tenants (id) ON DELETE CASCADE,
    account_id TEXT NOT NULL REFERENCES tenantry_accounts (id) ON DELETE CASCADE,
    role TEXT NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (tenant_id, account_id)
) STRICT;
CREATE INDEX tenantry_memberships_account_id ON tenantry_memberships (account_id);
CREATE UNIQUE INDEX tenantry_memberships_owner ON tenantry_memberships (tenant_id)
    WHERE role = 'owner';
CREATE TABLE tenantry_invitations (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL REFERENCES tenantry_tenants (id) ON DELETE CASCADE,
    email TEXT NOT NULL,
    role TEXT NOT NULL,
    digest BLOB NOT NULL UNIQUE,
    made_by TEXT REFERENCES tenantry_accounts (id) ON DELETE SET NULL,
    expires_at TEXT NOT NULL
) STRICT;
CREATE INDEX tenantry_invitations_tenant_id ON tenantry_invitations (tenant_id, email);
";

const ACCOUNTS_POSTGRES: &str = "
CREATE TABLE tenantry_accounts (
    id uuid PRIMARY KEY,
    email text NOT NULL UNIQUE,
    first_name text NOT NULL,
    last_name text NOT NULL,
    created_at timestamptz NOT NULL,
    disabled_at timestamptz,
    password_hash text NOT NULL
);
CREATE TABLE tenantry_account_tokens (
    id uuid PRIMARY KEY,
    account_id uuid NOT NULL REFERENCES tenantry_accounts (id) ON DELETE CASCADE,
    digest bytea NOT NULL UNIQUE,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX tenantry_account_tokens_account_id ON tenantry_account_tokens (account_id);
CREATE TABLE tenantry_memberships (
    tenant_id uuid NOT NULL REFERENCES tenantry_tenants (id) ON DELETE CASCADE,
    account_id uuid NOT NULL REFERENCES tenantry_accounts (id) ON DELETE CASCADE,
    role text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, account_id)
);
CREATE INDEX tenantry_memberships_account_id ON tenantry_memberships (account_id);
CREATE UNIQUE INDEX tenantry_memberships_owner ON tenantry_memberships (tenant_id)
    WHERE role = 'owner';
CREATE TABLE tenantry_invitations (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL REFERENCES tenantry_tenants (id) ON DELETE CASCADE,
    email text NOT NULL,
    role text NOT NULL,
    digest bytea NOT NULL UNIQUE,
    made_by uuid REFERENCES tenantry_accounts (id) ON DELETE SET NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX tenantry_invitations_tenant_id ON tenantry_invitations (tenant_id, email);
";

const OPERATORS_POSTGRES: &str = "
CREATE TABLE tenantry_operators (
    id uuid PRIMARY KEY,
    email text NOT NULL UNIQUE,
    name text NOT NULL,
    role text NOT NULL CHECK (role IN ('viewer', 'support', 'admin')),
    password_hash text NOT NULL,
    created_at timestamptz NOT NULL,
    disabled_at timestamptz,
    totp_secret bytea,
    totp_confirmed_at timestamptz,
    totp_step bigint NOT NULL DEFAULT 0
);
CREATE TABLE tenantry_operator_tokens (
    id uuid PRIMARY KEY,
    operator_id uuid NOT NULL REFERENCES tenantry_operators (id),
    digest bytea NOT NULL UNIQUE,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE TABLE tenantry_operator_codes (
    operator_id uuid NOT NULL REFERENCES tenantry_operators (id),
    digest bytea NOT NULL,
    PRIMARY KEY (operator_id, digest)
);
CREATE TABLE tenantry_impersonations (
    id uuid PRIMARY KEY,
    digest bytea NOT NULL UNIQUE,
    operator_id uuid NOT NULL REFERENCES tenantry_operators (id),
    tenant_id uuid NOT NULL,
    user_id uuid NOT NULL,
    reason text NOT NULL,
    expires_at timestamptz NOT NULL,
    until timestamptz NOT NULL
);
CREATE TABLE tenantry_audit (
    id uuid PRIMARY KEY,
    at timestamptz NOT NULL,
    action text NOT NULL,
    operator text NOT NULL,
    tenant text NOT NULL,
    subject text NOT NULL,
    detail text NOT NULL,
    address text NOT NULL
);
CREATE FUNCTION tenantry_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what was written down stays as it is';
END $$;
CREATE TRIGGER tenantry_audit_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON tenantry_audit
    FOR EACH STATEMENT EXECUTE FUNCTION tenantry_keep();
";

/// Accounts have second factors, and links that are mailed to them. Operators' second factors are
/// kept as those of everybody else. A link for a new password that an unknown address asked for has
/// no account, and opens nothing.
const FACTORS: &str = "
CREATE TABLE tenantry_account_factors (
    account_id uuid PRIMARY KEY REFERENCES tenantry_accounts (id) ON DELETE CASCADE,
    secret bytea NOT NULL,
    confirmed_at timestamptz,
    last_step bigint NOT NULL DEFAULT 0
);
CREATE TABLE tenantry_account_codes (
    account_id uuid NOT NULL REFERENCES tenantry_accounts (id) ON DELETE CASCADE,
    digest bytea NOT NULL,
    PRIMARY KEY (account_id, digest)
);
CREATE TABLE tenantry_account_links (
    id uuid PRIMARY KEY,
    purpose text NOT NULL,
    account_id uuid REFERENCES tenantry_accounts (id) ON DELETE CASCADE,
    email text NOT NULL,
    digest bytea NOT NULL UNIQUE,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX tenantry_account_links_account_id ON tenantry_account_links (account_id);
CREATE INDEX tenantry_account_links_email ON tenantry_account_links (email);
CREATE INDEX tenantry_account_links_expires_at ON tenantry_account_links (expires_at);
CREATE TABLE tenantry_operator_factors (
    operator_id uuid PRIMARY KEY REFERENCES tenantry_operators (id) ON DELETE CASCADE,
    secret bytea NOT NULL,
    confirmed_at timestamptz,
    last_step bigint NOT NULL DEFAULT 0
);
INSERT INTO tenantry_operator_factors (operator_id, secret, confirmed_at, last_step)
    SELECT id, totp_secret, totp_confirmed_at, totp_step FROM tenantry_operators
    WHERE totp_secret IS NOT NULL;
ALTER TABLE tenantry_operators DROP COLUMN totp_secret;
ALTER TABLE tenantry_operators DROP COLUMN totp_confirmed_at;
ALTER TABLE tenantry_operators DROP COLUMN totp_step;
";

const FAILED_SQLITE: &str = "
CREATE TABLE tenantry_failed_migrations (
    tenant_id TEXT NOT NULL PRIMARY KEY REFERENCES tenantry_tenants (id) ON DELETE CASCADE,
    migration TEXT NOT NULL,
    error TEXT NOT NULL,
    at TEXT NOT NULL
) STRICT;
";

const FAILED_POSTGRES: &str = "
CREATE TABLE tenantry_failed_migrations (
    tenant_id uuid PRIMARY KEY REFERENCES tenantry_tenants (id) ON DELETE CASCADE,
    migration text NOT NULL,
    error text NOT NULL,
    at timestamptz NOT NULL
);
";

/// A tenant that is deleted keeps its place until its grace ends, and gives its code back at once.
/// Of one that is erased what was removed stays written down. A move is recorded before its first
/// step and until after its last.
///
/// Which statuses there are is the program's to say, so that a new one needs no new table.
const LIFECYCLE_SQLITE: &str = "
-- foreign keys: off
CREATE TABLE tenantry_tenants_new (
    id TEXT NOT NULL PRIMARY KEY,
    code TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    status TEXT NOT NULL,
    isolation TEXT NOT NULL,
    server TEXT NOT NULL,
    schema_version TEXT NOT NULL,
    created_at TEXT NOT NULL
) STRICT;
INSERT INTO tenantry_tenants_new (id, code, name, status, isolation, server, schema_version, created_at)
    SELECT id, code, name, status, isolation, server, schema_version, created_at FROM tenantry_tenants;
DROP TABLE tenantry_tenants;
ALTER TABLE tenantry_tenants_new RENAME TO tenantry_tenants;
CREATE INDEX tenantry_tenants_unfinished ON tenantry_tenants (status)
    WHERE status IN ('creating', 'deleting');
CREATE INDEX tenantry_tenants_schema_version ON tenantry_tenants (schema_version);
CREATE TRIGGER tenantry_tenants_inserted AFTER INSERT ON tenantry_tenants BEGIN
    INSERT INTO tenantry_changes (tenant_id, code) VALUES (new.id, new.code);
    DELETE FROM tenantry_changes WHERE seq <= last_insert_rowid() - 10000;
END;
CREATE TRIGGER tenantry_tenants_updated
    AFTER UPDATE OF code, name, status, isolation, server ON tenantry_tenants BEGIN
    INSERT INTO tenantry_changes (tenant_id, code) VALUES (old.id, old.code);
    INSERT INTO tenantry_changes (tenant_id, code) SELECT new.id, new.code
        WHERE new.code <> old.code;
    DELETE FROM tenantry_changes WHERE seq <= last_insert_rowid() - 10000;
END;
CREATE TRIGGER tenantry_tenants_deleted AFTER DELETE ON tenantry_tenants BEGIN
    INSERT INTO tenantry_changes (tenant_id, code) VALUES (old.id, old.code);
    DELETE FROM tenantry_changes WHERE seq <= last_insert_rowid() - 10000;
END;

CREATE TABLE tenantry_deletions (
    tenant_id TEXT NOT NULL PRIMARY KEY REFERENCES tenantry_tenants (id) ON DELETE CASCADE,
    code TEXT NOT NULL,
    status TEXT NOT NULL,
    at TEXT NOT NULL,
    erase_after TEXT NOT NULL
) STRICT;
CREATE TABLE tenantry_erasures (
    tenant_id TEXT NOT NULL PRIMARY KEY,
    code TEXT NOT NULL,
    name TEXT NOT NULL,
    isolation TEXT NOT NULL,
    server TEXT NOT NULL,
    removed TEXT NOT NULL,
    begun_at TEXT NOT NULL,
    finished_at TEXT
) STRICT;
CREATE TABLE tenantry_moves (
    tenant_id TEXT NOT NULL PRIMARY KEY REFERENCES tenantry_tenants (id) ON DELETE CASCADE,
    from_isolation TEXT NOT NULL,
    from_server TEXT NOT NULL,
    to_isolation TEXT NOT NULL,
    to_server TEXT NOT NULL,
    status TEXT NOT NULL
) STRICT;
";

const LIFECYCLE_POSTGRES: &str = "
ALTER TABLE tenantry_tenants DROP CONSTRAINT tenantry_tenants_status_check;
CREATE TABLE tenantry_deletions (
    tenant_id uuid PRIMARY KEY REFERENCES tenantry_tenants (id) ON DELETE CASCADE,
    code text NOT NULL,
    status text NOT NULL,
    at timestamptz NOT NULL,
    erase_after timestamptz NOT NULL
);
CREATE TABLE tenantry_erasures (
    tenant_id uuid PRIMARY KEY,
    code text NOT NULL,
    name text NOT NULL,
    isolation text NOT NULL,
    server text NOT NULL,
    removed text NOT NULL,
    begun_at timestamptz NOT NULL,
    finished_at timestamptz
);
CREATE TABLE tenantry_moves (
    tenant_id uuid PRIMARY KEY REFERENCES tenantry_tenants (id) ON DELETE CASCADE,
    from_isolation text NOT NULL,
    from_server text NOT NULL,
    to_isolation text NOT NULL,
    to_server text NOT NULL,
    status text NOT NULL
);
";

const PLAN_SQLITE: &str = "
ALTER TABLE tenantry_tenants ADD COLUMN plan TEXT NOT NULL DEFAULT '';
CREATE TRIGGER tenantry_tenants_plan AFTER UPDATE OF plan ON tenantry_tenants BEGIN
    INSERT INTO tenantry_changes (tenant_id, code) VALUES (old.id, old.code);
    DELETE FROM tenantry_changes WHERE seq <= last_insert_rowid() - 10000;
END;
";

const PLAN_POSTGRES: &str = "
ALTER TABLE tenantry_tenants ADD COLUMN plan text NOT NULL DEFAULT '';
CREATE TRIGGER tenantry_tenants_plan AFTER UPDATE OF plan
    ON tenantry_tenants FOR EACH ROW EXECUTE FUNCTION tenantry_tell();
";

/// The restore of a whole deployment, until it has ended.
const RESTORES: &str = "
CREATE TABLE tenantry_restores (
    backup_id uuid PRIMARY KEY,
    begun_at timestamptz NOT NULL
);
";

/// Those that are taken one by one are to be found among ten thousand others.
const PENDING: &str = "
CREATE INDEX tenantry_tenants_pending ON tenantry_tenants (id) WHERE status = 'pending';
";

/// What tenants have said of their settings, each group a JSON object. Whoever follows the changes is
/// told the tenant, and no code: its record is what it was.
const SETTINGS_SQLITE: &str = "
CREATE TABLE tenantry_settings (
    tenant_id TEXT NOT NULL REFERENCES tenantry_tenants (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    version TEXT NOT NULL,
    changed_at TEXT NOT NULL,
    PRIMARY KEY (tenant_id, name)
) STRICT;
CREATE TRIGGER tenantry_settings_inserted AFTER INSERT ON tenantry_settings BEGIN
    INSERT INTO tenantry_changes (tenant_id, code) VALUES (new.tenant_id, '');
    DELETE FROM tenantry_changes WHERE seq <= last_insert_rowid() - 10000;
END;
CREATE TRIGGER tenantry_settings_updated AFTER UPDATE ON tenantry_settings BEGIN
    INSERT INTO tenantry_changes (tenant_id, code) VALUES (new.tenant_id, '');
    DELETE FROM tenantry_changes WHERE seq <= last_insert_rowid() - 10000;
END;
CREATE TRIGGER tenantry_settings_deleted AFTER DELETE ON tenantry_settings BEGIN
    INSERT INTO tenantry_changes (tenant_id, code) VALUES (old.tenant_id, '');
    DELETE FROM tenantry_changes WHERE seq <= last_insert_rowid() - 10000;
END;
";

const SETTINGS_POSTGRES: &str = "
CREATE TABLE tenantry_settings (
    tenant_id uuid NOT NULL REFERENCES tenantry_tenants (id) ON DELETE CASCADE,
    name text NOT NULL,
    value text NOT NULL,
    version uuid NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, name)
);
CREATE FUNCTION tenantry_tell_settings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('tenantry', coalesce(new.tenant_id, old.tenant_id) || ' ');
    RETURN NULL;
END $$;
CREATE TRIGGER tenantry_settings_changed AFTER INSERT OR UPDATE OR DELETE
    ON tenantry_settings FOR EACH ROW EXECUTE FUNCTION tenantry_tell_settings();
";

/// When each tenant is to be looked at for work that is due: never after the first of its jobs.
const DUE: &str = "
CREATE TABLE tenantry_due (
    tenant_id uuid PRIMARY KEY REFERENCES tenantry_tenants (id) ON DELETE CASCADE,
    due_at timestamptz NOT NULL,
    schedules text NOT NULL
);
CREATE INDEX tenantry_due_due_at ON tenantry_due (due_at);
";

/// The catalog in the central SQLite file.
pub(crate) fn sqlite() -> Migrations {
    Migrations::new()
        .sql("tenantry_0001_catalog", SQLITE)
        .sql("tenantry_0002_operators", OPERATORS_SQLITE)
        .sql("tenantry_0003_accounts", ACCOUNTS_SQLITE)
        .sql("tenantry_0004_factors", FACTORS)
        .sql("tenantry_0005_failed_migrations", FAILED_SQLITE)
        // a twin, because it rebuilds a table
        .twins("tenantry_0006_lifecycle", LIFECYCLE_SQLITE, LIFECYCLE_POSTGRES)
        .sql("tenantry_0007_plan", PLAN_SQLITE)
        .sql("tenantry_0008_restores", RESTORES)
        .sql("tenantry_0009_pending", PENDING)
        .sql("tenantry_0010_domains", domains::SQLITE)
        .sql("tenantry_0011_settings", SETTINGS_SQLITE)
        .sql("tenantry_0012_due", DUE)
        .sql("tenantry_0013_usage", usage::SCHEMA)
        .sql("tenantry_0014_events", events::SQLITE)
}

/// The catalog in its schema on PostgreSQL.
pub(crate) fn postgres() -> Migrations {
    Migrations::new()
        .sql("tenantry_0001_catalog", POSTGRES)
        .sql("tenantry_0002_operators", OPERATORS_POSTGRES)
        .sql("tenantry_0003_accounts", ACCOUNTS_POSTGRES)
        .sql("tenantry_0004_factors", FACTORS)
        .sql("tenantry_0005_failed_migrations", FAILED_POSTGRES)
        .twins(
            "tenantry_0006_lifecycle",
            LIFECYCLE_SQLITE,
            LIFECYCLE_POSTGRES,
        )
        .sql("tenantry_0007_plan", PLAN_POSTGRES)
        .sql("tenantry_0008_restores", RESTORES)
        .sql("tenantry_0009_pending", PENDING)
        .sql("tenantry_0010_domains", domains::POSTGRES)
        .sql("tenantry_0011_settings", SETTINGS_POSTGRES)
        .sql("tenantry_0012_due", DUE)
        .sql("tenantry_0013_usage", usage::SCHEMA)
        .sql("tenantry_0014_events", events::POSTGRES)
}
