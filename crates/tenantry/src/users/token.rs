use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::{
    SignInError, SignedIn, User,
    person::{self, Person as _},
    secret::{Secret, digest, prefix_of},
};
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

impl IssuedToken {
    pub(crate) fn new(id: Uuid, secret: Secret, expires_at: DateTime<Utc>) -> Self {
        Self {
            id,
            secret: secret.into_text(),
            expires_at,
        }
    }
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

/// A token as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenInfo {
    /// Its identity.
    pub id: Uuid,
    /// What its user called it; empty where it has no name.
    pub name: String,
    /// The first characters of it, after the mark.
    pub prefix: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends unless it is used.
    pub expires_at: DateTime<Utc>,
    /// When it was last used, to within the policy's interval.
    pub used_at: DateTime<Utc>,
}

impl FromRow for TokenInfo {
    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        Ok(Self {
            id: row.field(0, "id")?,
            name: row.field(1, "name")?,
            prefix: row.field(2, "prefix")?,
            created_at: row.field(3, "created_at")?,
            expires_at: row.field(4, "expires_at")?,
            used_at: row.field(5, "used_at")?,
        })
    }
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
        self.issue_named(user_id, "").await
    }

    /// Makes a token that lists show by a name: the device or program that it is for.
    ///
    /// # Errors
    /// As [`issue`](Self::issue).
    pub async fn issue_named(&self, user_id: Uuid, name: &str) -> Result<IssuedToken, DbError> {
        self.issue_if(user_id, None, name).await
    }

    /// Makes a token for somebody who has just signed in, that lists show by a name, or none.
    ///
    /// # Errors
    /// [`SignInError::InvalidCredentials`] when their password was changed meanwhile, or they may no
    /// longer sign in.
    pub async fn issue_to(&self, who: &SignedIn, name: &str) -> Result<IssuedToken, SignInError> {
        self.issue_if(who.user.id, Some(&who.hash), name)
            .await
            .map_err(person::too_late)
    }

    async fn issue_if(
        &self,
        user_id: Uuid,
        checked: Option<&str>,
        name: &str,
    ) -> Result<IssuedToken, DbError> {
        let secret = Secret::new(MARK)?;
        let now = Utc::now().trunc_subsecs(6);
        let (id, expires_at) = (
            Uuid::now_v7(),
            now + self.policy.life.min(self.policy.longest_life),
        );
        let mut tx = self.db.begin();
        person::hold::<_, User>(&mut tx, user_id, checked).await?;
        // anybody's: nobody else sweeps
        tx.query("DELETE FROM tokens WHERE expires_at <= $1")
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
            "INSERT INTO tokens (id, user_id, name, prefix, digest, created_at, expires_at, used_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(id)
        .bind(user_id)
        .bind(name)
        .bind(secret.prefix())
        .bind(secret.digest())
        .bind(now)
        .bind(expires_at)
        .bind(now)
        .execute()
        .await?;
        tx.commit().await?;
        Ok(IssuedToken::new(id, secret, expires_at))
    }

    /// The tokens of a user that are still good, the last used first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(&self, user_id: Uuid) -> Result<Vec<TokenInfo>, DbError> {
        self.db
            .query(
                "SELECT id, name, prefix, created_at, expires_at, used_at FROM tokens
                 WHERE user_id = $1 AND expires_at > $2 ORDER BY used_at DESC, id DESC",
            )
            .bind(user_id)
            .bind(Utc::now())
            .all()
            .await
    }

    /// Ends one token of a user.
    ///
    /// # Errors
    /// [`DbError::NotFound`] when the user has none of that identity.
    pub async fn revoke_of(&self, user_id: Uuid, token_id: Uuid) -> Result<(), DbError> {
        let gone = self
            .db
            .query("DELETE FROM tokens WHERE id = $1 AND user_id = $2")
            .bind(token_id)
            .bind(user_id)
            .execute()
            .await?;
        if gone == 0 {
            return Err(DbError::NotFound);
        }
        Ok(())
    }

    /// Whom `secret` speaks for: nobody when it is unknown here or has expired, or when its user
    /// is not active.
    ///
    /// # Errors
    /// When the database fails; which must be taken as a refusal.
    pub async fn authenticate(&self, secret: &str) -> Result<Option<TokenUser>, DbError> {
        let Some(prefix) = prefix_of(secret, MARK) else {
            return Ok(None);
        };
        let candidates: Vec<Candidate> = self
            .db
            .query(
                "SELECT u.id, u.email, u.first_name, u.last_name, u.role, u.active, u.created_at,
                    u.email_verified_at, t.id AS token_id, t.digest, t.created_at AS issued_at, t.expires_at, t.used_at
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
            token_id: row.field(User::WIDTH, "token_id")?,
            digest: row.field(User::WIDTH + 1, "digest")?,
            issued_at: row.field(User::WIDTH + 2, "issued_at")?,
            expires_at: row.field(User::WIDTH + 3, "expires_at")?,
            used_at: row.field(User::WIDTH + 4, "used_at")?,
        })
    }
}
