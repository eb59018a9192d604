//! Letting somebody in: the one place where attempts are counted, the password and the second
//! factor are checked, and what came of it is written down.

use std::{net::IpAddr, time::Duration};

use chrono::{SubsecRound, TimeDelta, Utc};
use uuid::Uuid;

use super::{
    Actor, Audit, Event, PasswordError, SecondFactors, User, UserError, Users,
    account::normalise,
    guard::{Realm, network},
};
use crate::{
    Tenancy,
    db::{DbError, TenantDb},
    tenant::Tenant,
};

/// How many addresses of an account are remembered, and for how long after it was last used there.
const ADDRESSES: i64 = 10;
const ADDRESS_LIFE: TimeDelta = TimeDelta::days(60);

/// Somebody's attempt to sign in.
#[derive(Clone, Copy)]
pub struct Attempt<'a> {
    /// The address of the account.
    pub email: &'a str,
    /// The password in clear.
    pub password: &'a str,
    /// A code of the second factor, or a recovery code.
    pub code: Option<&'a str>,
    /// Where the request came from.
    pub address: Option<IpAddr>,
}

/// Why somebody is not let in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignInError {
    /// No such account, a wrong password, or an account that is not active: which, is not told.
    #[error("invalid credentials")]
    InvalidCredentials,
    /// The password is right, and the account has a second factor of which no code was given, or
    /// a wrong one.
    #[error("a code of the second factor is needed")]
    SecondFactor,
    /// Too many attempts have failed.
    #[error("too many attempts; wait for {} s", .0.as_secs() + 1)]
    TooMany(Duration),
    /// Too many others are signing in.
    #[error("too many are signing in at the moment")]
    Busy,
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<UserError> for SignInError {
    fn from(error: UserError) -> Self {
        match error {
            UserError::Password(PasswordError::Busy) => Self::Busy,
            UserError::Db(error) => Self::Db(error),
            other => Self::Db(DbError::Engine(Box::new(other))),
        }
    }
}

impl Tenancy {
    /// The user of that tenant whose address, password and second factor are given. Failed attempts
    /// are counted and limited, by account and by where they come from; what came of it is in the
    /// tenant's audit log. A hash of less work than today's is replaced.
    ///
    /// The same is answered, after the same work, whether the account does not exist, is not
    /// active, or has another password.
    ///
    /// ```
    /// # use tenantry::{Tenancy, Tenant, users::{Attempt, IssuedToken, SignInError, Tokens}};
    /// # async fn sign_in(tenancy: &Tenancy, tenant: &Tenant) -> Result<IssuedToken, SignInError> {
    /// let attempt = Attempt {
    ///     email: "ann@example.com",
    ///     password: "correct horse battery",
    ///     code: None,
    ///     address: None,
    /// };
    /// let ann = tenancy.sign_in(tenant, attempt).await?;
    /// let db = tenancy.db(tenant).await?;
    /// Ok(Tokens::on(&db).issue(ann.id).await?)
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`SignInError`] has them.
    pub async fn sign_in(
        &self,
        tenant: &Tenant,
        attempt: Attempt<'_>,
    ) -> Result<User, SignInError> {
        let mut db = self.db(tenant).await?;
        let email = normalise(attempt.email);
        let realm = Realm::Tenant(tenant.id());
        let guard = &self.0.guard;
        let taken = match guard.take(realm, &email, attempt.address, false) {
            Ok(taken) => taken,
            Err(wait) if !is_known(&db, &email, attempt.address).await? => {
                return Err(SignInError::TooMany(wait));
            }
            Err(_) => guard
                .take(realm, &email, attempt.address, true)
                .map_err(SignInError::TooMany)?,
        };
        let checked = check(self, &mut db, &email, attempt).await;
        match &checked {
            Ok(user) => {
                taken.give_back();
                remember(&db, user.id, attempt.address).await?;
            }
            // a code that was not given is no failure: clients learn by it that they must ask
            Err(SignInError::SecondFactor) if attempt.code.is_none() => taken.give_back(),
            Err(SignInError::InvalidCredentials | SignInError::SecondFactor) => {}
            Err(_) => taken.give_back(),
        }
        let event = match &checked {
            Ok(user) => Event::new("signed-in", user),
            Err(SignInError::InvalidCredentials) => {
                Event::new("sign-in-failed", Actor::Stranger(email))
            }
            Err(SignInError::SecondFactor) if attempt.code.is_some() => {
                Event::new("sign-in-failed", Actor::Stranger(email)).detail("wrong code")
            }
            Err(_) => return checked,
        };
        Audit::on(&mut db)
            .record(event.from(attempt.address))
            .await?;
        checked
    }
}

impl Tenancy {
    /// Whether somebody who is not known may have mail sent to an address, or how long to wait: ten
    /// at once, and one in half a minute from then on.
    ///
    /// # Errors
    /// How long to wait.
    pub fn may_mail(
        &self,
        tenant: &Tenant,
        to: &str,
        address: Option<IpAddr>,
    ) -> Result<(), Duration> {
        let name = format!("mail to {}", normalise(to));
        let taken = self
            .0
            .guard
            .take(Realm::Tenant(tenant.id()), &name, address, false);
        taken.map(drop)
    }
}

async fn check(
    tenancy: &Tenancy,
    db: &mut TenantDb,
    email: &str,
    attempt: Attempt<'_>,
) -> Result<User, SignInError> {
    let user = Users::on(db)
        .check_password(tenancy.passwords(), email, attempt.password)
        .await?
        .ok_or(SignInError::InvalidCredentials)?;
    let factors = SecondFactors::on(db);
    if factors.is_on(user.id).await? {
        let good = match attempt.code {
            Some(code) => factors.check(user.id, code).await?,
            None => false,
        };
        if !good {
            return Err(SignInError::SecondFactor);
        }
    }
    Ok(user)
}

async fn is_known(db: &TenantDb, email: &str, address: Option<IpAddr>) -> Result<bool, DbError> {
    let Some(address) = address else {
        return Ok(false);
    };
    let known: Result<i64, DbError> = db
        .query(
            "SELECT count(*) FROM known_addresses a JOIN users u ON u.id = a.user_id
             WHERE u.email = $1 AND a.address = $2 AND a.seen_at > $3",
        )
        .bind(email)
        .bind(network(address))
        .bind(Utc::now() - ADDRESS_LIFE)
        .scalar()
        .await;
    match known {
        Err(DbError::NulInText) => Ok(false),
        known => Ok(known? > 0),
    }
}

async fn remember(db: &TenantDb, user_id: Uuid, address: Option<IpAddr>) -> Result<(), DbError> {
    let Some(address) = address else {
        return Ok(());
    };
    let now = Utc::now().trunc_subsecs(6);
    let mut tx = db.begin();
    tx.query(
        "INSERT INTO known_addresses (user_id, address, seen_at) VALUES ($1, $2, $3)
         ON CONFLICT (user_id, address) DO UPDATE SET seen_at = excluded.seen_at",
    )
    .bind(user_id)
    .bind(network(address))
    .bind(now)
    .execute()
    .await?;
    tx.query(
        "DELETE FROM known_addresses WHERE user_id = $1 AND address IN (
            SELECT address FROM known_addresses WHERE user_id = $1
            ORDER BY seen_at DESC LIMIT 1000 OFFSET $2)",
    )
    .bind(user_id)
    .bind(ADDRESSES)
    .execute()
    .await?;
    tx.commit().await
}
