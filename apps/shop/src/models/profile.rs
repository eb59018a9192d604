use serde::Serialize;
use tenantry::db::{DbError, FromRow, TenantDb};

/// How a shop presents itself.
#[derive(Debug, Clone, Serialize, FromRow)]
pub(crate) struct Profile {
    pub(crate) tagline: Option<String>,
    pub(crate) currency: String,
}

/// What is to be changed of it; `None` stays as it is, whatever others make of it meanwhile.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProfileChange {
    /// `Some(None)` takes it away.
    pub(crate) tagline: Option<Option<String>>,
    pub(crate) currency: Option<String>,
}

impl Profile {
    pub(crate) async fn read(db: &TenantDb) -> Result<Self, DbError> {
        let profile = db
            .query("SELECT tagline, currency FROM profile")
            .optional()
            .await?;
        Ok(profile.unwrap_or_else(|| Self {
            tagline: None,
            currency: "EUR".into(),
        }))
    }

    pub(crate) async fn change(db: &TenantDb, change: ProfileChange) -> Result<Self, DbError> {
        db.query(
            "INSERT INTO profile (id, tagline, currency) VALUES (1, $2, coalesce($3, 'EUR'))
             ON CONFLICT (id) DO UPDATE SET
                tagline = CASE WHEN $1 THEN excluded.tagline ELSE profile.tagline END,
                currency = coalesce($3, profile.currency)
             RETURNING tagline, currency",
        )
        .bind(change.tagline.is_some())
        .bind(change.tagline.flatten())
        .bind(change.currency)
        .one()
        .await
    }
}
