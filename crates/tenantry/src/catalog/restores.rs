//! Restores of a whole deployment that were begun and have not ended.

use chrono::Utc;
use uuid::Uuid;

use super::Store;
use crate::db::DbError;

impl Store {
    /// Begins to restore a backup, or goes on with it: whether that can be. It is begun where there
    /// is nobody yet.
    pub(crate) async fn begin_restore(&self, backup: Uuid) -> Result<bool, DbError> {
        let mut tx = self.0.begin();
        let begun: i64 = tx
            .query("SELECT count(*) FROM tenantry_restores WHERE backup_id = $1")
            .bind(backup)
            .scalar()
            .await?;
        if begun > 0 {
            return Ok(true);
        }
        let there: i64 = tx
            .query(
                "SELECT (SELECT count(*) FROM tenantry_tenants WHERE status <> 'pending')
                    + (SELECT count(*) FROM tenantry_accounts)
                    + (SELECT count(*) FROM tenantry_operators)",
            )
            .scalar()
            .await?;
        if there > 0 {
            return Ok(false);
        }
        tx.query("DELETE FROM tenantry_restores").execute().await?;
        tx.query("INSERT INTO tenantry_restores (backup_id, begun_at) VALUES ($1, $2)")
            .bind(backup)
            .bind(Utc::now())
            .execute()
            .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// How many restores were begun and have not ended.
    pub(crate) async fn count_restores(&self) -> Result<i64, DbError> {
        self.0
            .query("SELECT count(*) FROM tenantry_restores")
            .scalar()
            .await
    }
}
