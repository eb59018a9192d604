use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use uuid::Uuid;

use super::{
    Operator, OperatorEvent, Operators,
    account::{COLUMNS, WIDTH},
};
use crate::{
    db::{CentralScope, DbError, Executor, FromRow, Row},
    users::{
        Attempt, IssuedToken, NewSecondFactor, PasswordError, Realm, SignInError, normalise,
        secret::{Secret, digest},
        totp::{Codes, recovery_codes, recovery_digest},
    },
};

const MARK: &str = "tno_";

/// How long an operator's token is good for, however much it is used.
const LIFE: TimeDelta = TimeDelta::hours(12);

struct Account {
    operator: Operator,
    password_hash: String,
    secret: Option<Vec<u8>>,
    confirmed_at: Option<DateTime<Utc>>,
}

impl FromRow for Account {
    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        Ok(Self {
            operator: Operator::from_row(row)?,
            password_hash: row.field(WIDTH, "password_hash")?,
            secret: row.field(WIDTH + 1, "totp_secret")?,
            confirmed_at: row.field(WIDTH + 2, "totp_confirmed_at")?,
        })
    }
}

impl Operators<'_> {
    /// Signs an operator in, for twelve hours. Attempts are limited and written down as those of
    /// [users](crate::Tenancy::sign_in).
    ///
    /// # Errors
    /// As [`SignInError`] has them.
    pub async fn sign_in(
        &self,
        attempt: Attempt<'_>,
    ) -> Result<(Operator, IssuedToken), SignInError> {
        let email = normalise(attempt.email);
        let guard = &self.tenancy.0.guard;
        let taken = guard
            .take(Realm::Operators, &email, attempt.address, false)
            .map_err(SignInError::TooMany)?;
        let checked = self.check(&email, attempt).await;
        let failed = match &checked {
            Err(SignInError::InvalidCredentials) => true,
            Err(SignInError::SecondFactor) => attempt.code.is_some(),
            _ => false,
        };
        if failed {
            let event = OperatorEvent::by("sign-in-failed", &email).from(attempt.address);
            self.record(event).await?;
        } else {
            taken.give_back();
        }
        let operator = checked?;
        let token = self.issue(&operator).await?;
        self.record(OperatorEvent::new("signed-in", &operator).from(attempt.address))
            .await?;
        Ok((operator, token))
    }

    async fn check(&self, email: &str, attempt: Attempt<'_>) -> Result<Operator, SignInError> {
        let found: Result<Option<Account>, DbError> = self
            .db
            .query(&format!(
                "SELECT {COLUMNS}, password_hash, totp_secret, totp_confirmed_at
                 FROM tenantry_operators WHERE email = $1 AND disabled_at IS NULL"
            ))
            .bind(email)
            .optional()
            .await;
        let account = match found {
            Err(DbError::NulInText) => None,
            found => found?,
        };
        let hash = account
            .as_ref()
            .map(|account| account.password_hash.as_str());
        let verified = self
            .tenancy
            .passwords()
            .verify(attempt.password, hash)
            .await;
        let verified = verified.map_err(|error| match error {
            PasswordError::Busy => SignInError::Busy,
            other => SignInError::Db(DbError::Engine(Box::new(other))),
        })?;
        let account = account
            .filter(|_| verified)
            .ok_or(SignInError::InvalidCredentials)?;
        if let (Some(secret), Some(_)) = (account.secret, account.confirmed_at) {
            let good = match attempt.code {
                Some(code) => self.use_code(account.operator.id, secret, code).await?,
                None => false,
            };
            if !good {
                return Err(SignInError::SecondFactor);
            }
        }
        Ok(account.operator)
    }

    async fn issue(&self, operator: &Operator) -> Result<IssuedToken, DbError> {
        let secret = Secret::new(MARK)?;
        let now = Utc::now().trunc_subsecs(6);
        let (id, expires_at) = (Uuid::now_v7(), now + LIFE);
        let mut tx = self.db.begin();
        tx.query("DELETE FROM tenantry_operator_tokens WHERE expires_at <= $1")
            .bind(now)
            .execute()
            .await?;
        tx.query(
            "INSERT INTO tenantry_operator_tokens (id, operator_id, digest, created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(id)
        .bind(operator.id)
        .bind(secret.digest())
        .bind(now)
        .bind(expires_at)
        .execute()
        .await?;
        tx.commit().await?;
        Ok(IssuedToken::new(id, secret, expires_at))
    }

    /// The operator that a token speaks for: nobody when it is unknown or has expired, or the
    /// account was disabled.
    ///
    /// # Errors
    /// When the database fails; which must be taken as a refusal.
    pub async fn authenticate(&self, secret: &str) -> Result<Option<Operator>, DbError> {
        if !secret.starts_with(MARK) {
            return Ok(None);
        }
        self.db
            .query(
                "SELECT o.id, o.email, o.name, o.role, o.created_at, o.disabled_at
                 FROM tenantry_operator_tokens t JOIN tenantry_operators o ON o.id = t.operator_id
                 WHERE t.digest = $1 AND t.expires_at > $2 AND o.disabled_at IS NULL",
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
            .query("DELETE FROM tenantry_operator_tokens WHERE digest = $1")
            .bind(digest(secret))
            .execute()
            .await
            .map(drop)
    }

    /// Begins with a second factor, as [`SecondFactors::begin`](crate::users::SecondFactors::begin).
    ///
    /// # Errors
    /// When the database fails or the system has no randomness.
    pub async fn begin_second_factor(
        &self,
        operator: &Operator,
        issuer: &str,
    ) -> Result<Option<NewSecondFactor>, DbError> {
        let secret = Codes::new_secret()?;
        let codes = Codes::of(secret.clone(), issuer, &operator.email)?;
        let begun = self
            .db
            .query(
                "UPDATE tenantry_operators SET totp_secret = $2, totp_step = 0
                 WHERE id = $1 AND totp_confirmed_at IS NULL",
            )
            .bind(operator.id)
            .bind(secret)
            .execute()
            .await?;
        Ok((begun == 1).then(|| codes.into_new()))
    }

    /// Lets the second factor count, as
    /// [`SecondFactors::confirm`](crate::users::SecondFactors::confirm).
    ///
    /// # Errors
    /// When the database fails.
    pub async fn confirm_second_factor(
        &self,
        operator: &Operator,
        code: &str,
    ) -> Result<Option<Vec<String>>, DbError> {
        let mut tx = self.db.begin();
        let secret: Option<Vec<u8>> = tx
            .query(
                "SELECT totp_secret FROM tenantry_operators
                 WHERE id = $1 AND totp_confirmed_at IS NULL",
            )
            .bind(operator.id)
            .optional::<(Option<Vec<u8>>,)>()
            .await?
            .and_then(|(secret,)| secret);
        let Some(secret) = secret else {
            return Ok(None);
        };
        if !use_step(&mut tx, operator.id, secret, code).await? {
            return Ok(None);
        }
        tx.query("UPDATE tenantry_operators SET totp_confirmed_at = $2 WHERE id = $1")
            .bind(operator.id)
            .bind(Utc::now().trunc_subsecs(6))
            .execute()
            .await?;
        tx.query("DELETE FROM tenantry_operator_codes WHERE operator_id = $1")
            .bind(operator.id)
            .execute()
            .await?;
        let codes = recovery_codes()?;
        for digest in codes.iter().filter_map(|code| recovery_digest(code)) {
            tx.query("INSERT INTO tenantry_operator_codes (operator_id, digest) VALUES ($1, $2)")
                .bind(operator.id)
                .bind(digest)
                .execute()
                .await?;
        }
        tx.commit().await?;
        Ok(Some(codes))
    }

    /// Takes an operator's second factor away.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remove_second_factor(&self, id: Uuid) -> Result<(), DbError> {
        let mut tx = self.db.begin();
        tx.query(
            "UPDATE tenantry_operators SET totp_secret = NULL, totp_confirmed_at = NULL
             WHERE id = $1",
        )
        .bind(id)
        .execute()
        .await?;
        tx.query("DELETE FROM tenantry_operator_codes WHERE operator_id = $1")
            .bind(id)
            .execute()
            .await?;
        tx.commit().await
    }

    async fn use_code(&self, id: Uuid, secret: Vec<u8>, code: &str) -> Result<bool, DbError> {
        let mut tx = self.db.begin();
        let mut used = use_step(&mut tx, id, secret, code).await?;
        if !used && let Some(digest) = recovery_digest(code) {
            used = tx
                .query("DELETE FROM tenantry_operator_codes WHERE operator_id = $1 AND digest = $2")
                .bind(id)
                .bind(digest)
                .execute()
                .await?
                == 1;
        }
        tx.commit().await?;
        Ok(used)
    }
}

/// A code is good once.
async fn use_step(
    on: &mut impl Executor<CentralScope>,
    id: Uuid,
    secret: Vec<u8>,
    code: &str,
) -> Result<bool, DbError> {
    let Some(step) = Codes::of(secret, "", "")?.current_step_of(code) else {
        return Ok(false);
    };
    let used = on
        .query("UPDATE tenantry_operators SET totp_step = $2 WHERE id = $1 AND totp_step < $2")
        .bind(id)
        .bind(step)
        .execute()
        .await?;
    Ok(used == 1)
}
