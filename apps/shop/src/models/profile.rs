use serde::Serialize;
use tenantry::db::{DbError, FromRow, TenantDb};

/// How a shop presents itself.
#[derive(Debug, Clone, Serialize, FromRow)]
pub(crate) struct Profile {
    pub(crate) tagline: Option<String>,
    pub(crate) currency: String,
}

impl Profile {
    pub(crate) async fn read(db: &TenantDb) -> Result<Self, DbError> {
        db.query("SELECT tagline, currency FROM profile")
            .one()
            .await
    }

    pub(crate) async fn write(&self, db: &TenantDb) -> Result<(), DbError> {
        db.query("UPDATE profile SET tagline = $1, currency = $2")
            .bind(self.tagline.as_deref())
            .bind(&self.currency)
            .execute()
            .await
            .map(drop)
    }
}
