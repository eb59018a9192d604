//! Letting somebody in: the one place where attempts are counted, the password and the second
//! factor are checked, and what came of it is written down.

use std::{net::IpAddr, time::Duration};

use chrono::{SubsecRound, TimeDelta, Utc};
use uuid::Uuid;

use super::{
    Actor, Audit, Event, PasswordError, Passwords, User, UserError,
    account::normalise,
    guard::{Realm, network},
    password::refused,
    person::{self, Checked},
    second_factor::FACTORS,
};
use crate::{
    Tenancy,
    db::{DbError, TenantDb, TenantTx},
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

impl SignInError {
    /// Whether the attempt counts as a failure. A code that was not given is none: clients learn by
    /// it that they must ask.
    pub(crate) fn is_failure(&self, attempt: &Attempt<'_>) -> bool {
        match self {
            Self::InvalidCredentials => true,
            Self::SecondFactor => attempt.code.is_some(),
            _ => false,
        }
    }
}

/// Somebody who was let in, by a password that is still theirs when they are given a
/// [token](super::Tokens::issue_to), a [JWT](super::Jwts::issue_to) or a
/// [session](crate::routing::BrowserSession::sign_in): it is compared again in the same transaction.
#[derive(Clone)]
#[non_exhaustive]
pub struct SignedIn {
    /// Who.
    pub user: User,
    pub(crate) hash: String,
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
    /// Tokens::on(&db).issue_to(&ann, "").await
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`SignInError`] has them.
    pub async fn sign_in(
        &self,
        tenant: &Tenant,
        attempt: Attempt<'_>,
    ) -> Result<SignedIn, SignInError> {
        let db = self.db(tenant).await?;
        let email = normalise(attempt.email);
        let checked = self.check(tenant, &db, &email, &attempt).await;
        let event = match &checked {
            Ok(checked) => Event::new("signed-in", &checked.person),
            Err(SignInError::InvalidCredentials) => {
                Event::new("sign-in-failed", Actor::Stranger(email))
            }
            Err(error) if error.is_failure(&attempt) => {
                Event::new("sign-in-failed", Actor::Stranger(email)).detail("wrong code")
            }
            Err(_) => return checked.map(SignedIn::from),
        };
        let mut tx = db.begin();
        if let Ok(checked) = &checked {
            remember(&mut tx, checked.person.id, attempt.address).await?;
        }
        Audit::on(&mut tx)
            .record(event.from(attempt.address))
            .await?;
        tx.commit().await?;
        checked.map(SignedIn::from)
    }

    /// Whether whoever acts as `user` knows the password and second factor, before something that a
    /// session which was left open should not be enough for. `attempt.email` is not looked at.
    /// Failures are counted and limited as those of [`sign_in`](Self::sign_in), and written down as
    /// `confirmation-failed`; a success is no sign-in, and is not.
    ///
    /// # Errors
    /// As [`SignInError`] has them.
    pub async fn confirm(
        &self,
        tenant: &Tenant,
        user: &User,
        attempt: Attempt<'_>,
    ) -> Result<SignedIn, SignInError> {
        let mut db = self.db(tenant).await?;
        let checked = self.check(tenant, &db, &user.email, &attempt).await;
        let checked = checked.and_then(|checked| {
            // the address may be another's by now
            let same = checked.person.id == user.id;
            same.then_some(checked)
                .ok_or(SignInError::InvalidCredentials)
        });
        if let Err(error) = &checked
            && error.is_failure(&attempt)
        {
            let event = Event::new("confirmation-failed", user).from(attempt.address);
            Audit::on(&mut db).record(event).await?;
        }
        checked.map(SignedIn::from)
    }

    /// Checks the attempt, unless there were too many.
    async fn check(
        &self,
        tenant: &Tenant,
        db: &TenantDb,
        email: &str,
        attempt: &Attempt<'_>,
    ) -> Result<Checked<User>, SignInError> {
        let realm = Realm::Tenant(tenant.id());
        let guard = &self.0.guard;
        let taken = match guard.take(realm, email, attempt.address, false) {
            Ok(taken) => taken,
            Err(wait) if !is_known(db, email, attempt.address).await? => {
                return Err(too_many(wait).await);
            }
            Err(_) => match guard.take(realm, email, attempt.address, true) {
                Ok(taken) => taken,
                Err(wait) => return Err(too_many(wait).await),
            },
        };
        let passwords = self.passwords().in_realm(realm);
        let checked = check(&passwords, db, email, attempt).await;
        if !checked
            .as_ref()
            .is_err_and(|error| error.is_failure(attempt))
        {
            taken.give_back();
        }
        checked
    }
}

/// The refusal of who has failed too often, in a while.
pub(crate) async fn too_many(wait: Duration) -> SignInError {
    refused().await;
    SignInError::TooMany(wait)
}

impl From<Checked<User>> for SignedIn {
    fn from(checked: Checked<User>) -> Self {
        Self {
            user: checked.person,
            hash: checked.hash,
        }
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
    passwords: &Passwords,
    db: &TenantDb,
    email: &str,
    attempt: &Attempt<'_>,
) -> Result<Checked<User>, SignInError> {
    let checked: Checked<User> =
        person::check_password(&mut db.clone(), passwords, email, attempt.password)
            .await?
            .ok_or(SignInError::InvalidCredentials)?;
    FACTORS.demand(db, checked.person.id, attempt.code).await?;
    Ok(checked)
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

async fn remember(
    tx: &mut TenantTx,
    user_id: Uuid,
    address: Option<IpAddr>,
) -> Result<(), DbError> {
    let Some(address) = address else {
        return Ok(());
    };
    let now = Utc::now().trunc_subsecs(6);
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
    .await
    .map(drop)
}
