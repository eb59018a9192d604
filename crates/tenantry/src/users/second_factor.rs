use uuid::Uuid;

use super::{Audit, By, User, factor::Factors};
use crate::db::{DbError, TenantDb};

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

pub(super) const FACTORS: Factors = Factors {
    factors: "second_factors",
    codes: "recovery_codes",
    key: "user_id",
};

/// The second factors of one tenant's users: time-based codes, and recovery codes for when the
/// device is lost.
#[derive(Debug)]
pub struct SecondFactors<'d> {
    db: &'d TenantDb,
    by: By,
}

impl<'d> SecondFactors<'d> {
    /// The second factors of `db`'s tenant.
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
        FACTORS.begin(self.db, user, issuer).await
    }

    /// Lets the second factor count from now on, when `code` is one of it, and returns the recovery
    /// codes, of which only digests are kept; `None` when the code is wrong or nothing was begun. It
    /// is written down as `second-factor-added`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn confirm(&self, user_id: Uuid, code: &str) -> Result<Option<Vec<String>>, DbError> {
        let mut tx = self.db.begin();
        let Some(codes) = FACTORS.confirm(&mut tx, user_id, code).await? else {
            return Ok(None);
        };
        Audit::on(&mut tx)
            .record(self.by.did("second-factor-added"))
            .await?;
        tx.commit().await?;
        Ok(Some(codes))
    }

    /// Whether the user has a second factor that counts.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_on(&self, user_id: Uuid) -> Result<bool, DbError> {
        FACTORS.is_on(&mut self.db.clone(), user_id).await
    }

    /// Whether `code` is one of the authenticator's, or a recovery code; either is good once.
    ///
    /// # Errors
    /// When the database fails; which must be taken as a refusal.
    pub async fn check(&self, user_id: Uuid, code: &str) -> Result<bool, DbError> {
        FACTORS.check(self.db, user_id, code).await
    }

    /// How many recovery codes are left.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn recovery_codes_left(&self, user_id: Uuid) -> Result<i64, DbError> {
        FACTORS.recovery_codes_left(self.db, user_id).await
    }

    /// New recovery codes in place of the old ones.
    ///
    /// # Errors
    /// When the database fails or the system has no randomness.
    pub async fn renew_recovery_codes(&self, user_id: Uuid) -> Result<Vec<String>, DbError> {
        FACTORS.renew_recovery_codes(self.db, user_id).await
    }

    /// Takes the second factor away, which is written down as `second-factor-removed`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remove(&self, user_id: Uuid) -> Result<(), DbError> {
        let mut tx = self.db.begin();
        FACTORS.remove(&mut tx, user_id).await?;
        Audit::on(&mut tx)
            .record(self.by.did("second-factor-removed"))
            .await?;
        tx.commit().await
    }
}
