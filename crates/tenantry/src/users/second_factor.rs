use chrono::{DateTime, SubsecRound, Utc};
use uuid::Uuid;

use super::{
    User,
    totp::{Codes, recovery_codes, recovery_digest},
};
use crate::db::{DbError, Executor, FromRow, Row, TenantDb, TenantScope};

/// What somebody puts into their authenticator. It is shown once, and asked for only after a code
/// of it has been shown.
#[derive(Clone)]
#[non_exhaustive]
pub struct NewSecondFactor {
    /// To be typed, in base 32.
    pub secret: String,
    /// To be scanned, as a QR code: an `otpauth:` URI.
    pub uri: String,
}

/// The second factors of one tenant's users: time-based codes, and recovery codes for when the
/// device is lost.
#[derive(Debug)]
pub struct SecondFactors<'d>(&'d TenantDb);

struct Kept {
    secret: Vec<u8>,
    confirmed_at: Option<DateTime<Utc>>,
}

impl FromRow for Kept {
    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        Ok(Self {
            secret: row.field(0, "secret")?,
            confirmed_at: row.field(1, "confirmed_at")?,
        })
    }
}

impl<'d> SecondFactors<'d> {
    /// The second factors of `db`'s tenant.
    #[must_use]
    pub fn on(db: &'d TenantDb) -> Self {
        Self(db)
    }

    /// Begins with a second factor, which counts once it is [confirmed](Self::confirm). `issuer` is
    /// what the authenticator shows above the codes. `None` when the user has one that counts.
    ///
    /// # Errors
    /// When the database fails or the system has no randomness.
    pub async fn begin(
        &self,
        user: &User,
        issuer: &str,
    ) -> Result<Option<NewSecondFactor>, DbError> {
        let secret = Codes::new_secret()?;
        let codes = Codes::of(secret.clone(), issuer, &user.email)?;
        let begun = self
            .0
            .query(
                "INSERT INTO second_factors (user_id, secret) VALUES ($1, $2)
                 ON CONFLICT (user_id) DO UPDATE SET secret = excluded.secret, last_step = 0
                 WHERE second_factors.confirmed_at IS NULL",
            )
            .bind(user.id)
            .bind(secret)
            .execute()
            .await?;
        Ok((begun == 1).then(|| codes.into_new()))
    }

    /// Lets the second factor count from now on, when `code` is one of it, and returns the recovery
    /// codes, of which only digests are kept; `None` when the code is wrong or nothing was begun.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn confirm(&self, user_id: Uuid, code: &str) -> Result<Option<Vec<String>>, DbError> {
        let mut tx = self.0.begin();
        let Some(kept) = kept(&mut tx, user_id).await? else {
            return Ok(None);
        };
        let secret = kept.secret.clone();
        if kept.confirmed_at.is_some() || !use_code(&mut tx, user_id, kept, code).await? {
            return Ok(None);
        }
        // unless another was begun meanwhile, of which no code was shown
        let confirmed = tx
            .query("UPDATE second_factors SET confirmed_at = $2 WHERE user_id = $1 AND secret = $3")
            .bind(user_id)
            .bind(Utc::now().trunc_subsecs(6))
            .bind(secret)
            .execute()
            .await?;
        if confirmed == 0 {
            return Ok(None);
        }
        let codes = replace_recovery_codes(&mut tx, user_id).await?;
        tx.commit().await?;
        Ok(Some(codes))
    }

    /// Whether the user has a second factor that counts.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_on(&self, user_id: Uuid) -> Result<bool, DbError> {
        let count: i64 = self
            .0
            .query(
                "SELECT count(*) FROM second_factors
                 WHERE user_id = $1 AND confirmed_at IS NOT NULL",
            )
            .bind(user_id)
            .scalar()
            .await?;
        Ok(count > 0)
    }

    /// Whether `code` is one of the authenticator's, or a recovery code; either is good once.
    ///
    /// # Errors
    /// When the database fails; which must be taken as a refusal.
    pub async fn check(&self, user_id: Uuid, code: &str) -> Result<bool, DbError> {
        let mut tx = self.0.begin();
        let Some(kept) = kept(&mut tx, user_id).await? else {
            return Ok(false);
        };
        let good = kept.confirmed_at.is_some()
            && (use_code(&mut tx, user_id, kept, code).await?
                || use_recovery_code(&mut tx, user_id, code).await?);
        tx.commit().await?;
        Ok(good)
    }

    /// How many recovery codes are left.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn recovery_codes_left(&self, user_id: Uuid) -> Result<i64, DbError> {
        self.0
            .query("SELECT count(*) FROM recovery_codes WHERE user_id = $1")
            .bind(user_id)
            .scalar()
            .await
    }

    /// New recovery codes in place of the old ones.
    ///
    /// # Errors
    /// When the database fails or the system has no randomness.
    pub async fn renew_recovery_codes(&self, user_id: Uuid) -> Result<Vec<String>, DbError> {
        let mut tx = self.0.begin();
        let codes = replace_recovery_codes(&mut tx, user_id).await?;
        tx.commit().await?;
        Ok(codes)
    }

    /// Takes the second factor away.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remove(&self, user_id: Uuid) -> Result<(), DbError> {
        let mut tx = self.0.begin();
        for table in ["second_factors", "recovery_codes"] {
            tx.query(&format!("DELETE FROM {table} WHERE user_id = $1"))
                .bind(user_id)
                .execute()
                .await?;
        }
        tx.commit().await
    }
}

async fn kept(on: &mut impl Executor<TenantScope>, user_id: Uuid) -> Result<Option<Kept>, DbError> {
    on.query("SELECT secret, confirmed_at FROM second_factors WHERE user_id = $1")
        .bind(user_id)
        .optional()
        .await
}

/// A code is good once: those of its time and of earlier ones are then used up.
async fn use_code(
    on: &mut impl Executor<TenantScope>,
    user_id: Uuid,
    kept: Kept,
    code: &str,
) -> Result<bool, DbError> {
    let Some(step) = Codes::of(kept.secret, "", "")?.current_step_of(code) else {
        return Ok(false);
    };
    let used = on
        .query("UPDATE second_factors SET last_step = $2 WHERE user_id = $1 AND last_step < $2")
        .bind(user_id)
        .bind(step)
        .execute()
        .await?;
    Ok(used == 1)
}

async fn use_recovery_code(
    on: &mut impl Executor<TenantScope>,
    user_id: Uuid,
    code: &str,
) -> Result<bool, DbError> {
    let Some(digest) = recovery_digest(code) else {
        return Ok(false);
    };
    let used = on
        .query("DELETE FROM recovery_codes WHERE user_id = $1 AND digest = $2")
        .bind(user_id)
        .bind(digest)
        .execute()
        .await?;
    Ok(used == 1)
}

async fn replace_recovery_codes(
    on: &mut impl Executor<TenantScope>,
    user_id: Uuid,
) -> Result<Vec<String>, DbError> {
    on.query("DELETE FROM recovery_codes WHERE user_id = $1")
        .bind(user_id)
        .execute()
        .await?;
    let codes = recovery_codes()?;
    for digest in codes.iter().filter_map(|code| recovery_digest(code)) {
        on.query("INSERT INTO recovery_codes (user_id, digest) VALUES ($1, $2)")
            .bind(user_id)
            .bind(digest)
            .execute()
            .await?;
    }
    Ok(codes)
}
