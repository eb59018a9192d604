use chrono::{SubsecRound, TimeDelta, Utc};
use uuid::Uuid;

use super::{Account, Accounts};
use crate::{
    db::DbError,
    users::{
        IssuedToken,
        secret::{Secret, digest},
    },
};

const MARK: &str = "tna_";

/// How long a token is good for, however much it is used.
const LIFE: TimeDelta = TimeDelta::days(14);

/// How many an account may have; a further one ends the oldest.
const MOST: i64 = 50;

impl Accounts<'_> {
    /// Whether `secret` looks like an account's token.
    #[must_use]
    pub fn is_token(secret: &str) -> bool {
        secret.starts_with(MARK)
    }

    /// Makes a token for an account.
    ///
    /// # Errors
    /// [`DbError::NotFound`] when there is no such account.
    pub async fn issue(&self, id: Uuid) -> Result<IssuedToken, DbError> {
        let secret = Secret::new(MARK)?;
        let now = Utc::now().trunc_subsecs(6);
        let (token, expires_at) = (Uuid::now_v7(), now + LIFE);
        let mut tx = self.db.begin();
        // locks the account's row, so that simultaneous sign-ins count each other's tokens
        let known = tx
            .query("UPDATE tenantry_accounts SET email = email WHERE id = $1")
            .bind(id)
            .execute()
            .await?;
        if known == 0 {
            return Err(DbError::NotFound);
        }
        tx.query("DELETE FROM tenantry_account_tokens WHERE expires_at <= $1")
            .bind(now)
            .execute()
            .await?;
        tx.query(
            "DELETE FROM tenantry_account_tokens WHERE id IN (
                SELECT id FROM tenantry_account_tokens WHERE account_id = $1
                ORDER BY id DESC LIMIT 1000 OFFSET $2)",
        )
        .bind(id)
        .bind(MOST - 1)
        .execute()
        .await?;
        tx.query(
            "INSERT INTO tenantry_account_tokens (id, account_id, digest, created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(token)
        .bind(id)
        .bind(secret.digest())
        .bind(now)
        .bind(expires_at)
        .execute()
        .await?;
        tx.commit().await?;
        Ok(IssuedToken::new(token, secret, expires_at))
    }

    /// The account that a token speaks for: nobody when it is unknown or has expired, or the
    /// account was disabled.
    ///
    /// # Errors
    /// When the database fails; which must be taken as a refusal.
    pub async fn authenticate(&self, secret: &str) -> Result<Option<Account>, DbError> {
        if !Self::is_token(secret) {
            return Ok(None);
        }
        self.db
            .query(
                "SELECT a.id, a.email, a.first_name, a.last_name, a.created_at, a.disabled_at
                 FROM tenantry_account_tokens t JOIN tenantry_accounts a ON a.id = t.account_id
                 WHERE t.digest = $1 AND t.expires_at > $2 AND a.disabled_at IS NULL",
            )
            .bind(digest(secret))
            .bind(Utc::now())
            .optional()
            .await
    }

    /// Ends a token.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sign_out(&self, secret: &str) -> Result<(), DbError> {
        self.db
            .query("DELETE FROM tenantry_account_tokens WHERE digest = $1")
            .bind(digest(secret))
            .execute()
            .await
            .map(drop)
    }

    /// Ends every token of an account.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sign_out_all(&self, id: Uuid) -> Result<(), DbError> {
        self.db
            .query("DELETE FROM tenantry_account_tokens WHERE account_id = $1")
            .bind(id)
            .execute()
            .await
            .map(drop)
    }
}
