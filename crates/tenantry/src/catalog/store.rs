use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    db::{CentralDb, DbError, FromRow, Query, Row},
    tenant::{Isolation, Placement, Tenant, TenantCode, TenantId, TenantStatus, UnknownWord},
};

/// The columns of a tenant's record.
pub(super) const OWN_COLUMNS: &str =
    "id, code, name, status, isolation, server, schema_version, created_at, plan";

/// What a tenant is read from: its record, and its primary domain.
pub(super) const COLUMNS: &str =
    "id, code, name, status, isolation, server, schema_version, created_at, plan,
     (SELECT d.host FROM tenantry_domains d
      WHERE d.tenant_id = tenantry_tenants.id AND d.primary_since IS NOT NULL) AS primary_domain";

/// How many columns those are.
pub(super) const WIDTH: usize = 10;

/// How many tenants a statement is about at most.
const AT_ONCE: usize = 100;

/// `$2, $3, …`, as many as that, beginning with that number.
fn placeholders(first: usize) -> String {
    let numbers = (first..first + AT_ONCE).map(|number| format!("${number}"));
    numbers.collect::<Vec<_>>().join(", ")
}

/// Binds that many, the last of them again and again: the statement is always the same.
fn bind_all<'q>(query: Query<'q>, ids: &[TenantId]) -> Query<'q> {
    let last = ids.last().into_iter().cycle();
    ids.iter()
        .chain(last)
        .take(AT_ONCE)
        .fold(query, |query, id| query.bind(*id.as_uuid()))
}

fn insert_sql() -> String {
    format!(
        "INSERT INTO tenantry_tenants ({OWN_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
    )
}

fn insertion<'q>(query: Query<'q>, tenant: &Tenant) -> Query<'q> {
    query
        .bind(*tenant.id().as_uuid())
        .bind(tenant.code().as_str())
        .bind(tenant.name())
        .bind(tenant.status().as_str())
        .bind(tenant.isolation().as_str())
        .bind(&tenant.placement().server)
        .bind(tenant.schema_version())
        .bind(tenant.created_at())
        .bind(tenant.plan())
}

/// The catalog's tables.
pub(crate) struct Store(pub(crate) CentralDb);

/// One change of a tenant's row.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change<'a> {
    Code(&'a TenantCode),
    Name(&'a str),
    Plan(&'a str),
    /// To this status, from one of those.
    Status(TenantStatus, &'a [TenantStatus]),
    Forget,
}

impl Store {
    pub(crate) fn new(db: CentralDb) -> Self {
        Self(db)
    }

    pub(crate) async fn by_code(&self, code: &TenantCode) -> Result<Option<Tenant>, DbError> {
        self.0
            .query(&format!(
                "SELECT {COLUMNS} FROM tenantry_tenants WHERE code = $1"
            ))
            .bind(code.as_str())
            .optional()
            .await
    }

    pub(crate) async fn by_id(&self, id: TenantId) -> Result<Option<Tenant>, DbError> {
        self.0
            .query(&format!(
                "SELECT {COLUMNS} FROM tenantry_tenants WHERE id = $1"
            ))
            .bind(*id.as_uuid())
            .optional()
            .await
    }

    /// All tenants but those that are deleted, and those that nobody has taken yet, by code.
    pub(crate) async fn all(&self) -> Result<Vec<Tenant>, DbError> {
        self.0
            .query(&format!(
                "SELECT {COLUMNS} FROM tenantry_tenants WHERE status NOT IN ('deleted', 'pending') ORDER BY code"
            ))
            .all()
            .await
    }

    /// Those that nobody has taken yet, the oldest first.
    pub(crate) async fn pending(&self) -> Result<Vec<Tenant>, DbError> {
        self.0
            .query(&format!(
                "SELECT {COLUMNS} FROM tenantry_tenants WHERE status = 'pending' ORDER BY id"
            ))
            .all()
            .await
    }

    /// Some of those that nobody has taken yet, with the placement and the version of `wanted`.
    pub(crate) async fn ready(&self, wanted: &Tenant, most: usize) -> Result<Vec<Tenant>, DbError> {
        self.0
            .query(&format!(
                "SELECT {COLUMNS} FROM tenantry_tenants
                 WHERE status = 'pending' AND isolation = $1 AND server = $2
                    AND schema_version = $3 ORDER BY id LIMIT $4"
            ))
            .bind(wanted.isolation().as_str())
            .bind(&wanted.placement().server)
            .bind(wanted.schema_version())
            .bind(i64::try_from(most).unwrap_or(i64::MAX))
            .all()
            .await
    }

    /// Takes one that nobody has taken yet, for a tenant of that code and name: whether nobody had.
    pub(crate) async fn claim(&self, id: TenantId, wanted: &Tenant) -> Result<bool, DbError> {
        let claimed = self
            .0
            .query(
                "UPDATE tenantry_tenants SET status = 'creating', code = $2, name = $3,
                    created_at = $4, plan = $5 WHERE id = $1 AND status = 'pending'",
            )
            .bind(*id.as_uuid())
            .bind(wanted.code().as_str())
            .bind(wanted.name())
            .bind(wanted.created_at())
            .bind(wanted.plan())
            .execute()
            .await?;
        Ok(claimed == 1)
    }

    /// Every record there is, whatever its status.
    pub(crate) async fn every(&self) -> Result<Vec<Tenant>, DbError> {
        self.0
            .query(&format!("SELECT {COLUMNS} FROM tenantry_tenants"))
            .all()
            .await
    }

    /// Those being made or erased, by whoever it is.
    pub(crate) async fn unfinished(&self) -> Result<Vec<Tenant>, DbError> {
        self.0
            .query(&format!(
                "SELECT {COLUMNS} FROM tenantry_tenants WHERE status IN ('creating', 'deleting')"
            ))
            .all()
            .await
    }

    /// Visible tenants that the catalog does not know to be at `version`.
    pub(crate) async fn behind(&self, version: &str) -> Result<Vec<Tenant>, DbError> {
        self.0
            .query(&format!(
                "SELECT {COLUMNS} FROM tenantry_tenants
                 WHERE schema_version <> $1 AND status IN ('active', 'suspended') ORDER BY code"
            ))
            .bind(version)
            .all()
            .await
    }

    pub(crate) async fn insert(&self, tenant: &Tenant) -> Result<(), DbError> {
        insertion(self.0.query(&insert_sql()), tenant)
            .execute()
            .await
            .map(drop)
    }

    /// The same, where it need not be lasting before what is written there next is: the log is in that
    /// order. Until then it holds for every process, and only a machine that loses its power loses it.
    pub(crate) async fn insert_ahead(&self, tenant: &Tenant) -> Result<(), DbError> {
        insertion(self.0.query(&insert_sql()), tenant)
            .execute_ahead()
            .await
    }

    /// Makes the change and returns the codes it concerns; none when there was nothing to change.
    pub(crate) async fn change(
        &self,
        id: TenantId,
        change: Change<'_>,
    ) -> Result<Vec<String>, DbError> {
        let mut tx = self.0.begin();
        let before: Option<(String, String)> = tx
            // an update without effect, which locks the row
            .query("UPDATE tenantry_tenants SET id = id WHERE id = $1 RETURNING code, status")
            .bind(*id.as_uuid())
            .optional()
            .await?;
        let Some((code, status)) = before else {
            return Ok(Vec::new());
        };
        let mut codes = vec![code];
        let update = match change {
            Change::Code(new) => {
                codes.push(new.to_string());
                tx.query("UPDATE tenantry_tenants SET code = $2 WHERE id = $1")
                    .bind(*id.as_uuid())
                    .bind(new.as_str())
            }
            Change::Name(name) => tx
                .query("UPDATE tenantry_tenants SET name = $2 WHERE id = $1")
                .bind(*id.as_uuid())
                .bind(name),
            Change::Plan(plan) => tx
                .query("UPDATE tenantry_tenants SET plan = $2 WHERE id = $1")
                .bind(*id.as_uuid())
                .bind(plan),
            Change::Status(to, from) => {
                if !from.iter().any(|allowed| allowed.as_str() == status) {
                    return Ok(Vec::new());
                }
                tx.query("UPDATE tenantry_tenants SET status = $2 WHERE id = $1")
                    .bind(*id.as_uuid())
                    .bind(to.as_str())
            }
            Change::Forget => {
                tx.query("DELETE FROM tenantry_impersonations WHERE tenant_id = $1")
                    .bind(*id.as_uuid())
                    .execute()
                    .await?;
                tx.query("UPDATE tenantry_erasures SET finished_at = $2 WHERE tenant_id = $1")
                    .bind(*id.as_uuid())
                    .bind(Utc::now())
                    .execute()
                    .await?;
                tx.query("DELETE FROM tenantry_tenants WHERE id = $1")
                    .bind(*id.as_uuid())
            }
        };
        update.execute().await?;
        tx.commit().await?;
        Ok(codes)
    }

    /// Notes the version of all tenants that share tables on a server: they are migrated as one.
    pub(crate) async fn mark_rows(&self, server: &str, version: &str) -> Result<(), DbError> {
        self.0
            .query(
                "UPDATE tenantry_tenants SET schema_version = $2
                 WHERE isolation = 'rows' AND server = $1 AND schema_version <> $2",
            )
            .bind(server)
            .bind(version)
            .execute()
            .await
            .map(drop)
    }

    /// Notes the version of tenants.
    pub(crate) async fn mark(&self, ids: &[TenantId], version: &str) -> Result<(), DbError> {
        let sql = format!(
            "UPDATE tenantry_tenants SET schema_version = $1 WHERE id IN ({})",
            placeholders(2)
        );
        for some in ids.chunks(AT_ONCE) {
            let update = self.0.query(&sql).bind(version);
            bind_all(update, some).execute().await?;
        }
        Ok(())
    }

    /// Notes that a tenant's migration failed.
    pub(crate) async fn note_failure(
        &self,
        id: TenantId,
        migration: &str,
        error: &str,
    ) -> Result<(), DbError> {
        self.0
            .query(
                "INSERT INTO tenantry_failed_migrations (tenant_id, migration, error, at)
                 VALUES ($1, $2, $3, $4) ON CONFLICT (tenant_id) DO UPDATE
                 SET migration = excluded.migration, error = excluded.error, at = excluded.at",
            )
            .bind(*id.as_uuid())
            .bind(migration)
            .bind(error.replace('\0', ""))
            .bind(Utc::now())
            .execute()
            .await
            .map(drop)
    }

    /// Forgets the failures of tenants that have succeeded since.
    pub(crate) async fn forget_failures(&self, ids: &[TenantId]) -> Result<(), DbError> {
        let sql = format!(
            "DELETE FROM tenantry_failed_migrations WHERE tenant_id IN ({})",
            placeholders(1)
        );
        for some in ids.chunks(AT_ONCE) {
            bind_all(self.0.query(&sql), some).execute().await?;
        }
        Ok(())
    }

    /// The tenants whose last migration failed: which, with what, and when.
    pub(crate) async fn failures(
        &self,
    ) -> Result<Vec<(Uuid, String, String, DateTime<Utc>)>, DbError> {
        self.0
            .query("SELECT tenant_id, migration, error, at FROM tenantry_failed_migrations")
            .all()
            .await
    }

    /// The tenants that share tables on a server, but for those that are being erased.
    pub(crate) async fn sharing(&self, server: &str) -> Result<Vec<TenantId>, DbError> {
        let found: Vec<(Uuid,)> = self
            .0
            .query(
                "SELECT id FROM tenantry_tenants
                 WHERE isolation = 'rows' AND server = $1 AND status <> 'deleting' ORDER BY id",
            )
            .bind(server)
            .all()
            .await?;
        Ok(found.into_iter().map(|(id,)| id.into()).collect())
    }

    /// The changes after `seq`: their numbers, tenants and codes.
    pub(crate) async fn changes_after(
        &self,
        seq: i64,
    ) -> Result<Vec<(i64, Uuid, String)>, DbError> {
        self.0
            .query("SELECT seq, tenant_id, code FROM tenantry_changes WHERE seq > $1 ORDER BY seq")
            .bind(seq)
            .all()
            .await
    }

    /// The number of the latest change.
    pub(crate) async fn latest_change(&self) -> Result<i64, DbError> {
        self.0
            .query("SELECT coalesce(max(seq), 0) FROM tenantry_changes")
            .scalar()
            .await
    }
}

impl FromRow for Tenant {
    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        let corrupt = |error: Box<dyn std::error::Error + Send + Sync>| DbError::Engine(error);
        let word = |error: UnknownWord| corrupt(Box::new(error));
        let created_at: DateTime<Utc> = row.at(7)?;
        Ok(Self::new(crate::tenant::Record {
            id: row.at::<Uuid>(0)?.into(),
            code: TenantCode::new(&row.at::<String>(1)?)
                .map_err(|error| corrupt(Box::new(error)))?,
            name: row.at(2)?,
            status: row.at::<String>(3)?.parse().map_err(word)?,
            placement: Placement {
                isolation: row.at::<String>(4)?.parse::<Isolation>().map_err(word)?,
                server: row.at(5)?,
            },
            schema_version: row.at(6)?,
            created_at,
            plan: row.at(8)?,
            primary_domain: row
                .at::<Option<String>>(9)?
                .map(|text| super::domains::host(&text))
                .transpose()?,
        }))
    }
}
