use std::{net::IpAddr, time::Duration};

use uuid::Uuid;

use super::{Account, Accounts, token::TOKENS};
use crate::{
    Tenancy,
    db::{CentralDb, DbError},
    users::{
        Attempt, IssuedToken, NewSecondFactor, Passwords, Realm, SignInError,
        factor::Factors,
        normalise,
        person::{self, Checked, Person},
        too_many,
    },
};

const FACTORS: Factors = Factors {
    factors: "tenantry_account_factors",
    codes: "tenantry_account_codes",
    key: "account_id",
};

/// Checks the password and second factor of somebody in the catalog, unless there were too many
/// attempts.
pub(crate) async fn check<P: Person>(
    tenancy: &Tenancy,
    db: &CentralDb,
    (realm, factors): (Realm, &Factors),
    attempt: &Attempt<'_>,
) -> Result<Checked<P>, SignInError> {
    let guard = &tenancy.0.guard;
    let taken = match guard.take(realm, &normalise(attempt.email), attempt.address, false) {
        Ok(taken) => taken,
        Err(wait) => return Err(too_many(wait).await),
    };
    let passwords = tenancy.passwords().in_realm(realm);
    let checked = both::<P>(&passwords, db, factors, attempt).await;
    if !checked
        .as_ref()
        .is_err_and(|error| error.is_failure(attempt))
    {
        taken.give_back();
    }
    checked
}

async fn both<P: Person>(
    passwords: &Passwords,
    db: &CentralDb,
    factors: &Factors,
    attempt: &Attempt<'_>,
) -> Result<Checked<P>, SignInError> {
    let checked: Checked<P> =
        person::check_password(&mut db.clone(), passwords, attempt.email, attempt.password)
            .await?
            .ok_or(SignInError::InvalidCredentials)?;
    factors
        .demand(db, checked.person.id(), attempt.code)
        .await?;
    Ok(checked)
}

/// Makes a token while that is still the hash of the account's password.
pub(crate) async fn issue_if(
    accounts: &Accounts<'_>,
    id: Uuid,
    checked: &str,
) -> Result<IssuedToken, SignInError> {
    TOKENS
        .issue(&accounts.db, id, Some(checked))
        .await
        .map_err(person::too_late)
}

impl Accounts<'_> {
    /// Signs an account in, by its address, password and second factor, for two weeks. Attempts are
    /// limited as those of [users](crate::Tenancy::sign_in), and the same is answered, after the
    /// same work, whether the account does not exist, is disabled, or has another password.
    ///
    /// # Errors
    /// As [`SignInError`] has them.
    pub async fn sign_in(
        &self,
        attempt: Attempt<'_>,
    ) -> Result<(Account, IssuedToken), SignInError> {
        let checked = self.check(&attempt).await?;
        let token = issue_if(self, checked.person.id, &checked.hash).await?;
        Ok((checked.person, token))
    }

    /// Whether whoever acts as `account` knows its password and second factor, before something that
    /// a token should not be enough for. `attempt.email` is not looked at.
    ///
    /// # Errors
    /// As [`SignInError`] has them.
    pub async fn confirm(
        &self,
        account: &Account,
        attempt: Attempt<'_>,
    ) -> Result<(), SignInError> {
        let attempt = Attempt {
            email: &account.email,
            ..attempt
        };
        let checked = self.check(&attempt).await?;
        if checked.person.id == account.id {
            Ok(())
        } else {
            Err(SignInError::InvalidCredentials) // the address is another's by now
        }
    }

    async fn check(&self, attempt: &Attempt<'_>) -> Result<Checked<Account>, SignInError> {
        check(self.tenancy, &self.db, (Realm::Accounts, &FACTORS), attempt).await
    }

    /// Whether somebody who is not known may have mail sent to an address; as
    /// [`Tenancy::may_mail`].
    ///
    /// # Errors
    /// How long to wait.
    pub fn may_mail(&self, to: &str, address: Option<IpAddr>) -> Result<(), Duration> {
        let name = format!("mail to {}", normalise(to));
        let guard = &self.tenancy.0.guard;
        let taken = guard.take(Realm::Accounts, &name, address, false);
        taken.map(drop)
    }

    /// Whether somebody may make one more account from an address: a password is hashed for it, and
    /// nobody is known yet. To be asked where anybody can register.
    ///
    /// # Errors
    /// How long to wait.
    pub fn may_register(&self, address: Option<IpAddr>) -> Result<(), Duration> {
        self.tenancy.0.guard.take_registration(address)
    }

    /// Begins with a second factor, as [`SecondFactors::begin`](crate::users::SecondFactors::begin).
    ///
    /// # Errors
    /// When the database fails or the system has no randomness.
    pub async fn begin_second_factor(
        &self,
        account: &Account,
        issuer: &str,
    ) -> Result<Option<NewSecondFactor>, DbError> {
        FACTORS.begin(&self.db, account, issuer).await
    }

    /// Lets the second factor count, as
    /// [`SecondFactors::confirm`](crate::users::SecondFactors::confirm).
    ///
    /// # Errors
    /// When the database fails.
    pub async fn confirm_second_factor(
        &self,
        account: &Account,
        code: &str,
    ) -> Result<Option<Vec<String>>, DbError> {
        let mut tx = self.db.begin();
        let Some(codes) = FACTORS.confirm(&mut tx, account.id, code).await? else {
            return Ok(None);
        };
        tx.commit().await?;
        Ok(Some(codes))
    }

    /// Whether the account has a second factor that counts.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has_second_factor(&self, account: &Account) -> Result<bool, DbError> {
        FACTORS.is_on(&mut self.db.clone(), account.id).await
    }

    /// How many recovery codes are left.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn recovery_codes_left(&self, account: &Account) -> Result<i64, DbError> {
        FACTORS.recovery_codes_left(&self.db, account.id).await
    }

    /// New recovery codes in place of the old ones.
    ///
    /// # Errors
    /// When the database fails or the system has no randomness.
    pub async fn renew_recovery_codes(&self, account: &Account) -> Result<Vec<String>, DbError> {
        FACTORS.renew_recovery_codes(&self.db, account.id).await
    }

    /// Takes the second factor away. Who asks for it [confirms](Self::confirm) that first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remove_second_factor(&self, account: &Account) -> Result<(), DbError> {
        let mut tx = self.db.begin();
        FACTORS.remove(&mut tx, account.id).await?;
        tx.commit().await
    }
}
