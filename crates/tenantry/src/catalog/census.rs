//! How it stands with all tenants together.

use chrono::Utc;

use super::Store;
use crate::db::DbError;

/// How it stands with all tenants together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Census {
    /// How many tenants have each status.
    pub by_status: Vec<(String, u64)>,
    /// How many active or suspended ones are not known to be at the program's version.
    pub behind: u64,
    /// Of how many the last migration failed.
    pub failed: u64,
    /// How many have jobs that are to be looked at by now.
    pub due: u64,
}

impl Store {
    /// Counts them, those that are not at `version` apart.
    pub(crate) async fn census(&self, version: &str) -> Result<Census, DbError> {
        let mut pipeline = self.0.pipeline();
        let statuses = pipeline
            .query("SELECT status, count(*) FROM tenantry_tenants GROUP BY status ORDER BY status")
            .all::<(String, i64)>();
        let behind = pipeline
            .query(
                "SELECT count(*) FROM tenantry_tenants
                 WHERE schema_version <> $1 AND status IN ('active', 'suspended')",
            )
            .bind(version)
            .scalar::<i64>();
        let failed = pipeline
            .query("SELECT count(*) FROM tenantry_failed_migrations")
            .scalar::<i64>();
        let due = pipeline
            .query(
                "SELECT count(*) FROM tenantry_due
                    JOIN tenantry_tenants ON tenantry_tenants.id = tenantry_due.tenant_id
                 WHERE due_at <= $1 AND status = 'active'",
            )
            .bind(Utc::now())
            .scalar::<i64>();
        let mut answers = pipeline.run().await?;
        let count = |number: i64| u64::try_from(number).unwrap_or(0);
        let by_status = answers.take(statuses)?.into_iter();
        Ok(Census {
            by_status: by_status
                .map(|(status, tenants)| (status, count(tenants)))
                .collect(),
            behind: count(answers.take(behind)?),
            failed: count(answers.take(failed)?),
            due: count(answers.take(due)?),
        })
    }
}
