//! Which tenants have work due, so that a worker need not open all of them to know.

use chrono::{DateTime, Utc};

use super::{
    Store,
    store::{COLUMNS, WIDTH},
};
use crate::{
    db::{DbError, FromRow, Row},
    tenant::{Tenant, TenantId},
};

/// A tenant that is to be looked at, since then.
pub(crate) struct Due {
    pub(crate) tenant: Tenant,
    pub(crate) at: DateTime<Utc>,
}

impl FromRow for Due {
    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        Ok(Self {
            tenant: Tenant::from_row(row)?,
            at: row.at(WIDTH)?,
        })
    }
}

impl Store {
    /// The active tenants that are to be looked at by now, those first that were to be first.
    pub(crate) async fn due(&self, most: i64) -> Result<Vec<Due>, DbError> {
        self.0
            .query(&format!(
                "SELECT {COLUMNS}, due_at FROM tenantry_due
                    JOIN tenantry_tenants ON tenantry_tenants.id = tenantry_due.tenant_id
                 WHERE due_at <= $1 AND status = 'active' ORDER BY due_at, id LIMIT $2"
            ))
            .bind(Utc::now())
            .bind(most)
            .all()
            .await
    }

    /// When a tenant is to be looked at.
    pub(crate) async fn due_at(&self, id: TenantId) -> Result<Option<DateTime<Utc>>, DbError> {
        let found: Option<(DateTime<Utc>,)> = self
            .0
            .query("SELECT due_at FROM tenantry_due WHERE tenant_id = $1")
            .bind(*id.as_uuid())
            .optional()
            .await?;
        Ok(found.map(|(at,)| at))
    }

    /// Has a tenant looked at by then at the latest.
    pub(crate) async fn due_by(&self, id: TenantId, at: DateTime<Utc>) -> Result<(), DbError> {
        self.0
            .query(
                "INSERT INTO tenantry_due (tenant_id, due_at, schedules) VALUES ($1, $2, '')
                 ON CONFLICT (tenant_id) DO UPDATE SET due_at = excluded.due_at
                 WHERE excluded.due_at < tenantry_due.due_at",
            )
            .bind(*id.as_uuid())
            .bind(at)
            .execute()
            .await
            .map(drop)
    }

    /// Has a tenant looked at then, and not before, by a program with these schedules.
    pub(crate) async fn set_due(
        &self,
        id: TenantId,
        at: DateTime<Utc>,
        schedules: &str,
    ) -> Result<(), DbError> {
        self.0
            .query("UPDATE tenantry_due SET due_at = $2, schedules = $3 WHERE tenant_id = $1")
            .bind(*id.as_uuid())
            .bind(at)
            .bind(schedules)
            .execute()
            .await
            .map(drop)
    }

    /// Has everybody looked at of whom it is not known when that is to be.
    pub(crate) async fn due_unknown(&self) -> Result<u64, DbError> {
        self.0
            .query(
                "INSERT INTO tenantry_due (tenant_id, due_at, schedules)
                 SELECT id, now(), '' FROM tenantry_tenants WHERE status = 'active'
                    AND id NOT IN (SELECT tenant_id FROM tenantry_due)
                 ON CONFLICT (tenant_id) DO NOTHING",
            )
            .execute()
            .await
    }

    /// Has everybody looked at now whom a program with other schedules has looked at last.
    pub(crate) async fn due_by_schedules(&self, schedules: &str) -> Result<u64, DbError> {
        self.0
            .query(
                "UPDATE tenantry_due SET due_at = $2, schedules = $1
                 WHERE schedules <> $1 AND due_at > $2",
            )
            .bind(schedules)
            .bind(Utc::now())
            .execute()
            .await
    }
}
