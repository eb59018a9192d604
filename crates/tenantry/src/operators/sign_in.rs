use std::marker::PhantomData;

use chrono::TimeDelta;
use uuid::Uuid;

use super::{Operator, OperatorEvent, Operators};
use crate::{
    accounts::{self, CentralTokens},
    db::DbError,
    users::{
        Attempt, IssuedToken, NewSecondFactor, Realm, SignInError,
        factor::Factors,
        normalise,
        person::{self, Checked},
    },
};

const FACTORS: Factors = Factors {
    factors: "tenantry_operator_factors",
    codes: "tenantry_operator_codes",
    key: "operator_id",
};

pub(super) const TOKENS: CentralTokens<Operator> = CentralTokens {
    table: "tenantry_operator_tokens",
    mark: "tno_",
    life: TimeDelta::hours(12),
    most: 50,
    whose: PhantomData,
};

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
        let realm = (Realm::Operators, &FACTORS);
        let checked: Result<Checked<Operator>, _> =
            accounts::check(self.tenancy, &self.db, realm, &attempt).await;
        if let Err(error) = &checked
            && error.is_failure(&attempt)
        {
            let event = OperatorEvent::by("sign-in-failed", &normalise(attempt.email));
            self.record(event.from(attempt.address)).await?;
        }
        let Checked {
            person: operator,
            hash,
        } = checked?;
        let token = TOKENS
            .issue(&self.db, operator.id, Some(&hash))
            .await
            .map_err(person::too_late)?;
        self.record(OperatorEvent::new("signed-in", &operator).from(attempt.address))
            .await?;
        Ok((operator, token))
    }

    /// The operator that a token speaks for: nobody when it is unknown or has expired, or the
    /// account was disabled.
    ///
    /// # Errors
    /// When the database fails; which must be taken as a refusal.
    pub async fn authenticate(&self, secret: &str) -> Result<Option<Operator>, DbError> {
        TOKENS.authenticate(&self.db, secret).await
    }

    /// Ends a token.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sign_out(&self, secret: &str) -> Result<(), DbError> {
        TOKENS.end(&self.db, secret).await
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
        FACTORS.begin(&self.db, operator, issuer).await
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
        let Some(codes) = FACTORS.confirm(&mut tx, operator.id, code).await? else {
            return Ok(None);
        };
        tx.commit().await?;
        Ok(Some(codes))
    }

    /// Takes an operator's second factor away.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remove_second_factor(&self, id: Uuid) -> Result<(), DbError> {
        let mut tx = self.db.begin();
        FACTORS.remove(&mut tx, id).await?;
        tx.commit().await
    }
}
