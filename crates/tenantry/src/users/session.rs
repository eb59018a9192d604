use chrono::{DateTime, SubsecRound, Utc};
use serde_json::Value as Json;
use uuid::Uuid;

use super::{User, person, secret::digest};
use crate::db::{DbError, FromRow, Row, TenantDb};

/// How many a user may have; a further one ends that which was unused for longest.
const MOST: i64 = 50;

/// A browser that is signed in, as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionInfo {
    /// Its identity, which opens nothing.
    pub id: Uuid,
    /// What the browser called itself when it signed in.
    pub agent: String,
    /// When it signed in.
    pub created_at: DateTime<Utc>,
    /// When it ends unless it is used.
    pub expires_at: DateTime<Utc>,
    /// When it was last prolonged.
    pub used_at: DateTime<Utc>,
}

impl FromRow for SessionInfo {
    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        Ok(Self {
            id: row.field(0, "id")?,
            agent: row.field(1, "agent")?,
            created_at: row.field(2, "created_at")?,
            expires_at: row.field(3, "expires_at")?,
            used_at: row.field(4, "used_at")?,
        })
    }
}

/// What a session keeps, as the store has it.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) id: Uuid,
    pub(crate) user_id: Option<Uuid>,
    pub(crate) data: Json,
    pub(crate) agent: String,
    pub(crate) expires_at: DateTime<Utc>,
}

impl FromRow for Kept {
    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        Ok(Self {
            id: row.field(0, "id")?,
            user_id: row.field(1, "user_id")?,
            data: row.field(2, "data")?,
            agent: row.field(3, "agent")?,
            expires_at: row.field(4, "expires_at")?,
        })
    }
}

/// The sessions of one tenant's users in browsers.
///
/// A tenant keeps the SHA-256 of its sessions' identifiers, so one of another tenant is simply
/// unknown to it.
#[derive(Debug)]
pub struct Sessions<'d>(&'d TenantDb);

impl<'d> Sessions<'d> {
    /// The sessions of `db`'s tenant.
    #[must_use]
    pub fn on(db: &'d TenantDb) -> Self {
        Self(db)
    }

    /// The sessions of a user that are still good, the last used first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(&self, user_id: Uuid) -> Result<Vec<SessionInfo>, DbError> {
        self.0
            .query(
                "SELECT id, agent, created_at, expires_at, used_at FROM sessions
                 WHERE user_id = $1 AND expires_at > $2 ORDER BY used_at DESC, id DESC",
            )
            .bind(user_id)
            .bind(Utc::now())
            .all()
            .await
    }

    /// Ends one session of a user.
    ///
    /// # Errors
    /// [`DbError::NotFound`] when the user has none of that identity.
    pub async fn revoke_of(&self, user_id: Uuid, id: Uuid) -> Result<(), DbError> {
        let gone = self
            .0
            .query("DELETE FROM sessions WHERE id = $1 AND user_id = $2")
            .bind(id)
            .bind(user_id)
            .execute()
            .await?;
        if gone == 0 {
            return Err(DbError::NotFound);
        }
        Ok(())
    }

    pub(crate) async fn load(&self, secret: &str) -> Result<Option<Kept>, DbError> {
        self.0
            .query(
                "SELECT id, user_id, data, agent, expires_at FROM sessions
                 WHERE digest = $1 AND expires_at > $2",
            )
            .bind(digest(secret))
            .bind(Utc::now())
            .optional()
            .await
    }

    /// Writes a new session. `checked` is the hash of the password that it is given for: when the
    /// user has another by now, or may not sign in, it is [`DbError::NotFound`].
    pub(crate) async fn create(
        &self,
        secret: &str,
        kept: &Kept,
        checked: Option<&str>,
    ) -> Result<(), DbError> {
        let now = Utc::now().trunc_subsecs(6);
        let mut tx = self.0.begin();
        if let Some(user_id) = kept.user_id {
            person::hold::<_, User>(&mut tx, user_id, checked).await?;
            tx.query(
                "DELETE FROM sessions WHERE id IN (
                    SELECT id FROM sessions WHERE user_id = $1 ORDER BY used_at DESC, id DESC
                    LIMIT 1000 OFFSET $2)",
            )
            .bind(user_id)
            .bind(MOST - 1)
            .execute()
            .await?;
        }
        tx.query("DELETE FROM sessions WHERE expires_at <= $1")
            .bind(now)
            .execute()
            .await?;
        tx.query(
            "INSERT INTO sessions
                (id, digest, user_id, data, agent, created_at, expires_at, used_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(kept.id)
        .bind(digest(secret))
        .bind(kept.user_id)
        .bind(kept.data.clone())
        .bind(&kept.agent)
        .bind(now)
        .bind(kept.expires_at)
        .bind(now)
        .execute()
        .await?;
        tx.commit().await
    }

    /// Writes a session that is there; one that was ended meanwhile does not come back.
    pub(crate) async fn save(&self, secret: &str, kept: &Kept) -> Result<(), DbError> {
        self.0
            .query(
                "UPDATE sessions SET user_id = $2, data = $3, expires_at = $4, used_at = $5
                 WHERE digest = $1",
            )
            .bind(digest(secret))
            .bind(kept.user_id)
            .bind(kept.data.clone())
            .bind(kept.expires_at)
            .bind(Utc::now().trunc_subsecs(6))
            .execute()
            .await
            .map(drop)
    }

    pub(crate) async fn delete(&self, secret: &str) -> Result<(), DbError> {
        self.0
            .query("DELETE FROM sessions WHERE digest = $1")
            .bind(digest(secret))
            .execute()
            .await
            .map(drop)
    }
}
