use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::{
    Audit, By,
    secret::{Secret, digest, prefix_of},
};
use crate::db::{DbError, FromRow, Row, TenantDb};

const MARK: &str = "tnk_";

/// How much later a use must be than the last recorded one to be recorded.
const USE_INTERVAL: TimeDelta = TimeDelta::minutes(1);

/// A key of a program's, which is no user: what it may do are its scopes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApiKey {
    /// Its identity.
    pub id: Uuid,
    /// What it was called.
    pub name: String,
    /// What it may do, in the application's own words, such as `products:write`.
    pub scopes: Vec<String>,
    /// The first characters of it, after the mark.
    pub prefix: String,
    /// Who made it, while that account exists.
    pub made_by: Option<Uuid>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends; never where there is none.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used, to within a minute.
    pub used_at: Option<DateTime<Utc>>,
}

impl ApiKey {
    /// Whether it may do that.
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|own| own == scope)
    }
}

const COLUMNS: &str = "id, name, scopes, prefix, made_by, created_at, expires_at, used_at";

impl FromRow for ApiKey {
    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        let scopes: serde_json::Value = row.field(2, "scopes")?;
        Ok(Self {
            id: row.field(0, "id")?,
            name: row.field(1, "name")?,
            scopes: serde_json::from_value(scopes)
                .map_err(|error| DbError::Engine(Box::new(error)))?,
            prefix: row.field(3, "prefix")?,
            made_by: row.field(4, "made_by")?,
            created_at: row.field(5, "created_at")?,
            expires_at: row.field(6, "expires_at")?,
            used_at: row.field(7, "used_at")?,
        })
    }
}

/// A key to be made.
#[derive(Debug, Clone)]
pub struct NewApiKey {
    /// What it is called.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// When it ends, or never.
    pub expires_at: Option<DateTime<Utc>>,
    /// Who makes it.
    pub made_by: Option<Uuid>,
}

/// The keys of one tenant's programs.
///
/// A key is 32 random bytes. A tenant keeps the SHA-256 of its own, so one of another tenant is
/// simply unknown to it.
#[derive(Debug)]
pub struct ApiKeys<'d> {
    db: &'d TenantDb,
    by: By,
}

struct Candidate {
    key: ApiKey,
    digest: Vec<u8>,
}

impl FromRow for Candidate {
    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        Ok(Self {
            key: ApiKey::from_row(row)?,
            digest: row.field(8, "digest")?,
        })
    }
}

impl<'d> ApiKeys<'d> {
    /// The keys of `db`'s tenant.
    #[must_use]
    pub fn on(db: &'d TenantDb) -> Self {
        Self {
            db,
            by: By::default(),
        }
    }

    /// What is written down of them was done by these.
    #[must_use]
    pub fn by(mut self, by: By) -> Self {
        self.by = by;
        self
    }

    /// Whether `secret` looks like a key, so that it is to be asked about here.
    #[must_use]
    pub fn is_one(secret: &str) -> bool {
        secret.starts_with(MARK)
    }

    /// Makes a key, and returns it with the secret that its program shows, which is kept nowhere. It
    /// is written down as `api-key-made`.
    ///
    /// # Errors
    /// When the database fails or the system has no randomness.
    pub async fn create(&self, new: NewApiKey) -> Result<(ApiKey, String), DbError> {
        let secret = Secret::new(MARK)?;
        let mut tx = self.db.begin();
        let key: ApiKey = tx
            .query(&format!(
                "INSERT INTO api_keys
                    (id, name, scopes, prefix, digest, made_by, created_at, expires_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING {COLUMNS}"
            ))
            .bind(Uuid::now_v7())
            .bind(new.name)
            .bind(serde_json::Value::from(new.scopes))
            .bind(secret.prefix())
            .bind(secret.digest())
            .bind(new.made_by)
            .bind(Utc::now().trunc_subsecs(6))
            .bind(new.expires_at.map(|end| end.trunc_subsecs(6)))
            .one()
            .await?;
        let event = self.by.did("api-key-made").about(&key.name);
        Audit::on(&mut tx)
            .record(event.detail(key.scopes.join(" ")))
            .await?;
        tx.commit().await?;
        Ok((key, secret.into_text()))
    }

    /// The key that `secret` is: none when it is unknown here or has expired.
    ///
    /// # Errors
    /// When the database fails; which must be taken as a refusal.
    pub async fn authenticate(&self, secret: &str) -> Result<Option<ApiKey>, DbError> {
        let Some(prefix) = prefix_of(secret, MARK) else {
            return Ok(None);
        };
        let candidates: Vec<Candidate> = self
            .db
            .query(&format!(
                "SELECT {COLUMNS}, digest FROM api_keys WHERE prefix = $1"
            ))
            .bind(prefix)
            .all()
            .await?;
        let wanted = digest(secret);
        let now = Utc::now();
        let found = candidates
            .into_iter()
            .find(|candidate| bool::from(candidate.digest.ct_eq(&wanted)))
            .map(|candidate| candidate.key)
            .filter(|key| key.expires_at.is_none_or(|end| end > now));
        if let Some(key) = &found
            && key.used_at.is_none_or(|used| now - used >= USE_INTERVAL)
        {
            self.db
                .query("UPDATE api_keys SET used_at = $2 WHERE id = $1")
                .bind(key.id)
                .bind(now.trunc_subsecs(6))
                .execute()
                .await?;
        }
        Ok(found)
    }

    /// Every key, the latest first; those that have expired too.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(&self) -> Result<Vec<ApiKey>, DbError> {
        self.db
            .query(&format!("SELECT {COLUMNS} FROM api_keys ORDER BY id DESC"))
            .all()
            .await
    }

    /// Ends a key, which is written down as `api-key-ended`.
    ///
    /// # Errors
    /// [`DbError::NotFound`] when there is none of that identity.
    pub async fn revoke(&self, id: Uuid) -> Result<ApiKey, DbError> {
        let mut tx = self.db.begin();
        let key: ApiKey = tx
            .query(&format!(
                "DELETE FROM api_keys WHERE id = $1 RETURNING {COLUMNS}"
            ))
            .bind(id)
            .one()
            .await?;
        let event = self.by.did("api-key-ended").about(&key.name);
        Audit::on(&mut tx).record(event).await?;
        tx.commit().await?;
        Ok(key)
    }
}
