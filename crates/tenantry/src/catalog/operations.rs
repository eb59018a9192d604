//! What has several steps: deletions, erasures and moves, as the catalog records them.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Store, store::OWN_COLUMNS};
use crate::{
    db::{DbError, FromRow, Row},
    tenant::{Isolation, Placement, Tenant, TenantCode, TenantId, TenantStatus, UnknownWord},
};

/// A tenant that is deleted, and what it was.
pub(crate) struct Deletion {
    pub(crate) tenant: Tenant,
    pub(crate) code: TenantCode,
    pub(crate) status: TenantStatus,
    pub(crate) at: DateTime<Utc>,
    pub(crate) erase_after: DateTime<Utc>,
}

/// What was removed of a tenant.
pub(crate) struct Erasure {
    pub(crate) tenant: TenantId,
    pub(crate) code: String,
    pub(crate) name: String,
    pub(crate) isolation: String,
    pub(crate) server: String,
    pub(crate) removed: String,
    pub(crate) begun_at: DateTime<Utc>,
    pub(crate) finished_at: Option<DateTime<Utc>>,
}

/// A tenant on its way to another place.
#[derive(Debug, Clone)]
pub(crate) struct Move {
    pub(crate) tenant: TenantId,
    pub(crate) from: Placement,
    pub(crate) to: Placement,
    /// What it is again afterwards.
    pub(crate) status: TenantStatus,
}

impl Store {
    /// Deletes a visible tenant: whether there was one. Its code is free from then on.
    pub(crate) async fn delete(
        &self,
        tenant: &Tenant,
        erase_after: DateTime<Utc>,
    ) -> Result<bool, DbError> {
        let id = *tenant.id().as_uuid();
        let mut tx = self.0.begin();
        let free = format!("deleted-{}", id.simple());
        let noted = tx
            .query(
                "INSERT INTO tenantry_deletions (tenant_id, code, status, at, erase_after)
                 SELECT id, code, status, $2, $3 FROM tenantry_tenants
                 WHERE id = $1 AND status IN ('active', 'suspended')",
            )
            .bind(id)
            .bind(Utc::now())
            .bind(erase_after)
            .execute()
            .await?;
        if noted == 0 {
            return Ok(false);
        }
        tx.query("UPDATE tenantry_tenants SET status = 'deleted', code = $2 WHERE id = $1")
            .bind(id)
            .bind(free)
            .execute()
            .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Brings a deleted tenant back under a code: whether there was one.
    pub(crate) async fn restore(&self, id: TenantId, code: &TenantCode) -> Result<bool, DbError> {
        let id = *id.as_uuid();
        let mut tx = self.0.begin();
        let restored = tx
            .query(
                "UPDATE tenantry_tenants SET code = $2,
                    status = (SELECT d.status FROM tenantry_deletions d WHERE d.tenant_id = $1)
                 WHERE id = $1 AND status = 'deleted'",
            )
            .bind(id)
            .bind(code.as_str())
            .execute()
            .await?;
        if restored == 0 {
            return Ok(false);
        }
        tx.query("DELETE FROM tenantry_deletions WHERE tenant_id = $1")
            .bind(id)
            .execute()
            .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// The deleted tenants, the latest first.
    pub(crate) async fn deletions(&self) -> Result<Vec<Deletion>, DbError> {
        let columns: Vec<String> = OWN_COLUMNS
            .split(", ")
            .map(|column| format!("t.{column}"))
            .collect();
        self.0
            .query(&format!(
                "SELECT {}, CAST(NULL AS text) AS primary_domain,
                    d.code AS former, d.status AS was, d.at, d.erase_after
                 FROM tenantry_tenants t JOIN tenantry_deletions d ON d.tenant_id = t.id
                 WHERE t.status = 'deleted' ORDER BY d.at DESC",
                columns.join(", ")
            ))
            .all()
            .await
    }

    /// Begins to erase a tenant: whether it can be. What is to be removed is written down, under
    /// the code that people know it by.
    pub(crate) async fn begin_erasure(
        &self,
        tenant: &Tenant,
        removed: &str,
    ) -> Result<bool, DbError> {
        let id = *tenant.id().as_uuid();
        let mut tx = self.0.begin();
        let begun = tx
            .query(
                "UPDATE tenantry_tenants SET status = 'deleting'
                 WHERE id = $1 AND status IN ('active', 'suspended', 'deleted')",
            )
            .bind(id)
            .execute()
            .await?;
        if begun == 0 {
            return Ok(false);
        }
        tx.query(
            "INSERT INTO tenantry_erasures
                (tenant_id, code, name, isolation, server, removed, begun_at)
             SELECT t.id, coalesce(d.code, t.code), t.name, t.isolation, t.server, $2, $3
             FROM tenantry_tenants t LEFT JOIN tenantry_deletions d ON d.tenant_id = t.id
             WHERE t.id = $1",
        )
        .bind(id)
        .bind(removed)
        .bind(Utc::now())
        .execute()
        .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// What was erased, the latest first.
    pub(crate) async fn erasures(&self) -> Result<Vec<Erasure>, DbError> {
        self.0
            .query(
                "SELECT tenant_id, code, name, isolation, server, removed, begun_at, finished_at
                 FROM tenantry_erasures ORDER BY begun_at DESC",
            )
            .all()
            .await
    }

    /// Begins a move, and suspends the tenant for it: whether it was visible.
    pub(crate) async fn begin_move(&self, plan: &Move) -> Result<bool, DbError> {
        let id = *plan.tenant.as_uuid();
        let mut tx = self.0.begin();
        let suspended = tx
            .query(
                "UPDATE tenantry_tenants SET status = 'suspended'
                 WHERE id = $1 AND status = $2 AND isolation = $3 AND server = $4",
            )
            .bind(id)
            .bind(plan.status.as_str())
            .bind(plan.from.isolation.as_str())
            .bind(&plan.from.server)
            .execute()
            .await?;
        if suspended == 0 {
            return Ok(false);
        }
        tx.query(
            "INSERT INTO tenantry_moves
                (tenant_id, from_isolation, from_server, to_isolation, to_server, status)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(id)
        .bind(plan.from.isolation.as_str())
        .bind(&plan.from.server)
        .bind(plan.to.isolation.as_str())
        .bind(&plan.to.server)
        .bind(plan.status.as_str())
        .execute()
        .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// From now on the tenant is at the other place.
    pub(crate) async fn switch(&self, plan: &Move, version: &str) -> Result<(), DbError> {
        self.0
            .query(
                "UPDATE tenantry_tenants SET isolation = $2, server = $3, schema_version = $4
                 WHERE id = $1",
            )
            .bind(*plan.tenant.as_uuid())
            .bind(plan.to.isolation.as_str())
            .bind(&plan.to.server)
            .bind(version)
            .execute()
            .await
            .map(drop)
    }

    /// Ends a move: the tenant is again what it was.
    pub(crate) async fn end_move(&self, plan: &Move) -> Result<(), DbError> {
        let id = *plan.tenant.as_uuid();
        let mut tx = self.0.begin();
        tx.query("DELETE FROM tenantry_moves WHERE tenant_id = $1")
            .bind(id)
            .execute()
            .await?;
        tx.query("UPDATE tenantry_tenants SET status = $2 WHERE id = $1 AND status = 'suspended'")
            .bind(id)
            .bind(plan.status.as_str())
            .execute()
            .await?;
        tx.commit().await
    }

    /// The moves that were begun.
    pub(crate) async fn moves(&self) -> Result<Vec<Move>, DbError> {
        self.0
            .query(
                "SELECT tenant_id, from_isolation, from_server, to_isolation, to_server, status
                 FROM tenantry_moves",
            )
            .all()
            .await
    }
}

fn corrupt(error: impl std::error::Error + Send + Sync + 'static) -> DbError {
    DbError::Engine(Box::new(error))
}

fn status(row: &Row<'_>, at: usize) -> Result<TenantStatus, DbError> {
    row.at::<String>(at)?
        .parse()
        .map_err(|error: UnknownWord| corrupt(error))
}

fn placement(row: &Row<'_>, at: usize) -> Result<Placement, DbError> {
    Ok(Placement {
        isolation: row
            .at::<String>(at)?
            .parse::<Isolation>()
            .map_err(corrupt)?,
        server: row.at(at + 1)?,
    })
}

/// Where a row goes on after a tenant's own columns.
const AFTER: usize = 10;

impl FromRow for Deletion {
    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        Ok(Self {
            tenant: Tenant::from_row(row)?,
            code: TenantCode::new(&row.at::<String>(AFTER)?).map_err(corrupt)?,
            status: status(row, AFTER + 1)?,
            at: row.at(AFTER + 2)?,
            erase_after: row.at(AFTER + 3)?,
        })
    }
}

impl FromRow for Erasure {
    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        Ok(Self {
            tenant: row.at::<Uuid>(0)?.into(),
            code: row.at(1)?,
            name: row.at(2)?,
            isolation: row.at(3)?,
            server: row.at(4)?,
            removed: row.at(5)?,
            begun_at: row.at(6)?,
            finished_at: row.at(7)?,
        })
    }
}

impl FromRow for Move {
    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        Ok(Self {
            tenant: row.at::<Uuid>(0)?.into(),
            from: placement(row, 1)?,
            to: placement(row, 3)?,
            status: status(row, 5)?,
        })
    }
}
