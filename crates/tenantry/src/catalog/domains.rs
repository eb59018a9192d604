//! The hosts that tenants say are their own, and those that were shown to be.

use chrono::{DateTime, Utc};

use super::{Store, store::COLUMNS};
use crate::{
    db::{DbError, FromRow, Row},
    tenant::{DomainName, DomainNameError, Tenant, TenantId},
};

/// Anybody may claim a host, and one tenant at most has shown it to be its own. What changes here is
/// told as changes of tenants are: by the host, in place of a code, and by the code of the tenant,
/// whose record says which is the primary one. A host has a dot in it, which no code has.
pub(super) const SQLITE: &str = "
CREATE TABLE tenantry_domains (
    tenant_id TEXT NOT NULL REFERENCES tenantry_tenants (id) ON DELETE CASCADE,
    host TEXT NOT NULL,
    token TEXT NOT NULL,
    created_at TEXT NOT NULL,
    verified_at TEXT,
    primary_since TEXT,
    PRIMARY KEY (tenant_id, host),
    CHECK (primary_since IS NULL OR verified_at IS NOT NULL)
) STRICT;
CREATE UNIQUE INDEX tenantry_domains_verified ON tenantry_domains (host)
    WHERE verified_at IS NOT NULL;
CREATE UNIQUE INDEX tenantry_domains_primary ON tenantry_domains (tenant_id)
    WHERE primary_since IS NOT NULL;
CREATE TRIGGER tenantry_domains_inserted AFTER INSERT ON tenantry_domains BEGIN
    INSERT INTO tenantry_changes (tenant_id, code) VALUES (new.tenant_id, new.host);
    INSERT INTO tenantry_changes (tenant_id, code)
        SELECT id, code FROM tenantry_tenants WHERE id = new.tenant_id;
    DELETE FROM tenantry_changes WHERE seq <= last_insert_rowid() - 10000;
END;
CREATE TRIGGER tenantry_domains_updated AFTER UPDATE ON tenantry_domains BEGIN
    INSERT INTO tenantry_changes (tenant_id, code) VALUES (old.tenant_id, old.host);
    INSERT INTO tenantry_changes (tenant_id, code) VALUES (new.tenant_id, new.host);
    INSERT INTO tenantry_changes (tenant_id, code)
        SELECT id, code FROM tenantry_tenants WHERE id IN (old.tenant_id, new.tenant_id);
    DELETE FROM tenantry_changes WHERE seq <= last_insert_rowid() - 10000;
END;
CREATE TRIGGER tenantry_domains_deleted AFTER DELETE ON tenantry_domains BEGIN
    INSERT INTO tenantry_changes (tenant_id, code) VALUES (old.tenant_id, old.host);
    INSERT INTO tenantry_changes (tenant_id, code)
        SELECT id, code FROM tenantry_tenants WHERE id = old.tenant_id;
    DELETE FROM tenantry_changes WHERE seq <= last_insert_rowid() - 10000;
END;
";

pub(super) const POSTGRES: &str = "
CREATE TABLE tenantry_domains (
    tenant_id uuid NOT NULL REFERENCES tenantry_tenants (id) ON DELETE CASCADE,
    host text NOT NULL,
    token text NOT NULL,
    created_at timestamptz NOT NULL,
    verified_at timestamptz,
    primary_since timestamptz,
    PRIMARY KEY (tenant_id, host),
    CHECK (primary_since IS NULL OR verified_at IS NOT NULL)
);
CREATE UNIQUE INDEX tenantry_domains_verified ON tenantry_domains (host)
    WHERE verified_at IS NOT NULL;
CREATE UNIQUE INDEX tenantry_domains_primary ON tenantry_domains (tenant_id)
    WHERE primary_since IS NOT NULL;
CREATE FUNCTION tenantry_tell_domain() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM pg_notify('tenantry', old.tenant_id || ' ' || old.host);
        PERFORM pg_notify('tenantry', id || ' ' || code) FROM tenantry_tenants
            WHERE id = old.tenant_id;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM pg_notify('tenantry', new.tenant_id || ' ' || new.host);
        PERFORM pg_notify('tenantry', id || ' ' || code) FROM tenantry_tenants
            WHERE id = new.tenant_id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER tenantry_domains_changed AFTER INSERT OR DELETE OR UPDATE
    ON tenantry_domains FOR EACH ROW EXECUTE FUNCTION tenantry_tell_domain();
";

/// A host that a tenant says is its own.
pub(crate) struct Claimed {
    pub(crate) host: DomainName,
    /// What its zone has to say for it to be so.
    pub(crate) token: String,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) verified_at: Option<DateTime<Utc>>,
    pub(crate) primary_since: Option<DateTime<Utc>>,
}

const CLAIMED: &str = "host, token, created_at, verified_at, primary_since";

impl FromRow for Claimed {
    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        Ok(Self {
            host: host(&row.at::<String>(0)?)?,
            token: row.at(1)?,
            created_at: row.at(2)?,
            verified_at: row.at(3)?,
            primary_since: row.at(4)?,
        })
    }
}

pub(super) fn host(text: &str) -> Result<DomainName, DbError> {
    DomainName::new(text).map_err(|error: DomainNameError| DbError::Engine(Box::new(error)))
}

impl Store {
    /// The tenant that has shown the host to be its own, whatever its status.
    pub(crate) async fn by_host(&self, host: &DomainName) -> Result<Option<Tenant>, DbError> {
        self.0
            .query(&format!(
                "SELECT {COLUMNS} FROM tenantry_tenants WHERE id =
                    (SELECT tenant_id FROM tenantry_domains
                     WHERE host = $1 AND verified_at IS NOT NULL)"
            ))
            .bind(host.as_str())
            .optional()
            .await
    }

    /// What a tenant has claimed, by name.
    pub(crate) async fn domains(&self, id: TenantId) -> Result<Vec<Claimed>, DbError> {
        self.0
            .query(&format!(
                "SELECT {CLAIMED} FROM tenantry_domains WHERE tenant_id = $1 ORDER BY host"
            ))
            .bind(*id.as_uuid())
            .all()
            .await
    }

    pub(crate) async fn domain(
        &self,
        id: TenantId,
        host: &DomainName,
    ) -> Result<Option<Claimed>, DbError> {
        self.0
            .query(&format!(
                "SELECT {CLAIMED} FROM tenantry_domains WHERE tenant_id = $1 AND host = $2"
            ))
            .bind(*id.as_uuid())
            .bind(host.as_str())
            .optional()
            .await
    }

    /// Claims a host for a visible tenant, unless it has done so before.
    pub(crate) async fn claim_domain(
        &self,
        id: TenantId,
        host: &DomainName,
        token: &str,
    ) -> Result<(), DbError> {
        self.0
            .query(
                "INSERT INTO tenantry_domains (tenant_id, host, token, created_at)
                 SELECT id, $2, $3, $4 FROM tenantry_tenants
                 WHERE id = $1 AND status IN ('active', 'suspended')
                 ON CONFLICT (tenant_id, host) DO NOTHING",
            )
            .bind(*id.as_uuid())
            .bind(host.as_str())
            .bind(token)
            .bind(Utc::now())
            .execute()
            .await
            .map(drop)
    }

    /// Makes a host a visible tenant's own, if it still claims it by that token: whether it did. It
    /// violates `tenantry_domains (host)` when it is another's already.
    pub(crate) async fn verify_domain(
        &self,
        id: TenantId,
        host: &DomainName,
        token: &str,
    ) -> Result<bool, DbError> {
        let verified = self
            .0
            .query(
                "UPDATE tenantry_domains SET verified_at = coalesce(verified_at, $4)
                 WHERE tenant_id = $1 AND host = $2 AND token = $3
                    AND EXISTS (SELECT 1 FROM tenantry_tenants
                        WHERE id = $1 AND status IN ('active', 'suspended'))",
            )
            .bind(*id.as_uuid())
            .bind(host.as_str())
            .bind(token)
            .bind(Utc::now())
            .execute()
            .await?;
        Ok(verified == 1)
    }

    /// Makes a host that is a visible tenant's own its primary one, in place of another, or lets it
    /// have none: whether that could be.
    pub(crate) async fn set_primary_domain(
        &self,
        id: TenantId,
        host: Option<&DomainName>,
    ) -> Result<bool, DbError> {
        let id = *id.as_uuid();
        let mut tx = self.0.begin();
        // an update without effect, which locks the row: one at a time
        let visible = tx
            .query(
                "UPDATE tenantry_tenants SET id = id
                 WHERE id = $1 AND status IN ('active', 'suspended')",
            )
            .bind(id)
            .execute()
            .await?;
        if visible == 0 {
            return Ok(false);
        }
        tx.query(
            "UPDATE tenantry_domains SET primary_since = NULL
             WHERE tenant_id = $1 AND primary_since IS NOT NULL AND host <> $2",
        )
        .bind(id)
        .bind(host.map_or("", DomainName::as_str))
        .execute()
        .await?;
        if let Some(host) = host {
            let set = tx
                .query(
                    "UPDATE tenantry_domains SET primary_since = coalesce(primary_since, $3)
                     WHERE tenant_id = $1 AND host = $2 AND verified_at IS NOT NULL",
                )
                .bind(id)
                .bind(host.as_str())
                .bind(Utc::now())
                .execute()
                .await?;
            if set == 0 {
                return Ok(false);
            }
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Lets go of a host: whether the visible tenant had claimed it.
    pub(crate) async fn remove_domain(
        &self,
        id: TenantId,
        host: &DomainName,
    ) -> Result<bool, DbError> {
        let removed = self
            .0
            .query(
                "DELETE FROM tenantry_domains WHERE tenant_id = $1 AND host = $2
                    AND EXISTS (SELECT 1 FROM tenantry_tenants
                        WHERE id = $1 AND status IN ('active', 'suspended'))",
            )
            .bind(*id.as_uuid())
            .bind(host.as_str())
            .execute()
            .await?;
        Ok(removed == 1)
    }
}
