use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::{PasswordError, User};
use crate::db::{DbError, FromRow, Row, TenantDb};

/// How long tokens live, and how many a user may have.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TokenPolicy {
    /// How long a token is good for after it was last used. 14 days.
    pub life: TimeDelta,
    /// How long a token is good for at most, however much it is used. 90 days.
    pub longest_life: TimeDelta,
    /// How much later a use must be than the last recorded one to be recorded: most uses cost no
    /// write. One minute.
    pub refresh_interval: TimeDelta,
    /// How many a user may have, at least one; a further one ends that which was unused for
    /// longest. 50.
    pub most_per_user: i64,
}

impl Default for TokenPolicy {
    fn default() -> Self {
        Self {
            life: TimeDelta::days(14),
            longest_life: TimeDelta::days(90),
            refresh_interval: TimeDelta::minutes(1),
            most_per_user: 50,
        }
    }
}

/// A token as it is given out, once: only its digest is kept.
#[derive(Clone)]
#[non_exhaustive]
pub struct IssuedToken {
    /// Its identity.
    pub id: Uuid,
    /// What the bearer shows.
    pub secret: String,
    /// When it ends unless it is used.
    pub expires_at: DateTime<Utc>,
}

/// Whom a token speaks for.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TokenUser {
    /// The user.
    pub user: User,
    /// The token.
    pub token_id: Uuid,
}

/// The tokens of one tenant's users.
///
/// A token is 32 random bytes. A tenant keeps the SHA-256 of its own, so one of another tenant is
/// simply unknown to it.
#[derive(Debug)]
pub struct Tokens<'d> {
    db: &'d TenantDb,
    policy: TokenPolicy,
}

const MARK: &str = "tnt_";
const PREFIX_LEN: usize = 8;

impl<'d> Tokens<'d> {
    /// The tokens of `db`'s tenant, with the default policy.
    #[must_use]
    pub fn on(db: &'d TenantDb) -> Self {
        Self::with(db, TokenPolicy::default())
    }

    /// The tokens of `db`'s tenant, with another policy.
    #[must_use]
    pub fn with(db: &'d TenantDb, policy: TokenPolicy) -> Self {
        Self { db, policy }
    }

    /// Makes a token for a user.
    ///
    /// # Errors
    /// When the database fails or the system has no randomness.
    pub async fn issue(&self, user_id: Uuid) -> Result<IssuedToken, DbError> {
        let mut random = [0; 32];
        getrandom::fill(&mut random)
            .map_err(|_| DbError::Engine(Box::new(PasswordError::Unavailable)))?;
        let encoded = BASE64_URL_SAFE_NO_PAD.encode(random);
        let now = Utc::now().trunc_subsecs(6);
        let token = IssuedToken {
            id: Uuid::now_v7(),
            expires_at: now + self.policy.life.min(self.policy.longest_life),
            secret: format!("{MARK}{encoded}"),
        };
        let mut tx = self.db.begin();
        // Locks the user's row, so that simultaneous sign-ins count each other's tokens.
        let known = tx
            .query("UPDATE users SET email = email WHERE id = $1")
            .bind(user_id)
            .execute()
            .await?;
        if known == 0 {
            return Err(DbError::NotFound);
        }
        tx.query("DELETE FROM tokens WHERE user_id = $1 AND expires_at <= $2")
            .bind(user_id)
            .bind(now)
            .execute()
            .await?;
        tx.query(
            "DELETE FROM tokens WHERE id IN (
                SELECT id FROM tokens WHERE user_id = $1 ORDER BY used_at DESC, id DESC
                LIMIT 1000 OFFSET $2)",
        )
        .bind(user_id)
        .bind(self.policy.most_per_user.max(1) - 1)
        .execute()
        .await?;
        tx.query(
            "INSERT INTO tokens (id, user_id, prefix, digest, created_at, expires_at, used_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(token.id)
        .bind(user_id)
        .bind(&encoded[..PREFIX_LEN])
        .bind(digest(&token.secret))
        .bind(now)
        .bind(token.expires_at)
        .bind(now)
        .execute()
        .await?;
        tx.commit().await?;
        Ok(token)
    }

    /// Whom `secret` speaks for: nobody when it is unknown here or has expired, or when its user
    /// is not active.
    ///
    /// # Errors
    /// When the database fails; which must be taken as a refusal.
    pub async fn authenticate(&self, secret: &str) -> Result<Option<TokenUser>, DbError> {
        let Some(prefix) = secret
            .strip_prefix(MARK)
            .and_then(|encoded| encoded.get(..PREFIX_LEN))
            .filter(|prefix| prefix.is_ascii() && !prefix.contains('\0'))
        else {
            return Ok(None);
        };
        let candidates: Vec<Candidate> = self
            .db
            .query(
                "SELECT u.id, u.email, u.first_name, u.last_name, u.role, u.active, u.created_at,
                    t.id AS token_id, t.digest, t.created_at AS issued_at, t.expires_at, t.used_at
                 FROM tokens t JOIN users u ON u.id = t.user_id WHERE t.prefix = $1",
            )
            .bind(prefix)
            .all()
            .await?;
        let wanted = digest(secret);
        let now = Utc::now();
        let found = candidates
            .into_iter()
            .find(|candidate| bool::from(candidate.digest.ct_eq(&wanted)))
            .filter(|candidate| candidate.expires_at > now && candidate.user.active);
        let Some(candidate) = found else {
            return Ok(None);
        };
        if now - candidate.used_at >= self.policy.refresh_interval {
            self.refresh(&candidate, now).await?;
        }
        Ok(Some(TokenUser {
            user: candidate.user,
            token_id: candidate.token_id,
        }))
    }

    async fn refresh(&self, token: &Candidate, now: DateTime<Utc>) -> Result<(), DbError> {
        let end = (now + self.policy.life).min(token.issued_at + self.policy.longest_life);
        self.db
            .query("UPDATE tokens SET used_at = $2, expires_at = $3 WHERE id = $1")
            .bind(token.token_id)
            .bind(now)
            .bind(end)
            .execute()
            .await
            .map(drop)
    }

    /// Ends one token.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revoke(&self, token_id: Uuid) -> Result<(), DbError> {
        self.db
            .query("DELETE FROM tokens WHERE id = $1")
            .bind(token_id)
            .execute()
            .await
            .map(drop)
    }

    /// Ends every token of a user.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revoke_all(&self, user_id: Uuid) -> Result<(), DbError> {
        self.db
            .query("DELETE FROM tokens WHERE user_id = $1")
            .bind(user_id)
            .execute()
            .await
            .map(drop)
    }
}

fn digest(secret: &str) -> Vec<u8> {
    Sha256::digest(secret.as_bytes()).to_vec()
}

struct Candidate {
    user: User,
    token_id: Uuid,
    digest: Vec<u8>,
    issued_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    used_at: DateTime<Utc>,
}

impl FromRow for Candidate {
    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        Ok(Self {
            user: User::from_row(row)?,
            token_id: row.field(7, "token_id")?,
            digest: row.field(8, "digest")?,
            issued_at: row.field(9, "issued_at")?,
            expires_at: row.field(10, "expires_at")?,
            used_at: row.field(11, "used_at")?,
        })
    }
}
