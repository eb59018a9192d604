use std::marker::PhantomData;

use chrono::{SubsecRound, TimeDelta, Utc};
use uuid::Uuid;

use super::{Account, Accounts};
use crate::{
    db::{CentralDb, CentralScope, DbError, Executor},
    users::{
        IssuedToken,
        person::{self, People, Person},
        secret::{Secret, digest},
    },
};

/// The tokens of accounts or operators, which are in the catalog.
pub(crate) struct CentralTokens<P> {
    pub(crate) table: &'static str,
    pub(crate) mark: &'static str,
    /// How long a token is good for, however much it is used.
    pub(crate) life: TimeDelta,
    /// How many somebody may have; a further one ends the oldest.
    pub(crate) most: i64,
    pub(crate) whose: PhantomData<fn() -> P>,
}

impl<P: Person> CentralTokens<P> {
    pub(crate) fn is_one(&self, secret: &str) -> bool {
        secret.starts_with(self.mark)
    }

    /// Makes a token, while the password that was `checked` is still theirs.
    pub(crate) async fn issue(
        &self,
        db: &CentralDb,
        id: Uuid,
        checked: Option<&str>,
    ) -> Result<IssuedToken, DbError> {
        let (table, People { key, .. }) = (self.table, P::PEOPLE);
        let secret = Secret::new(self.mark)?;
        let now = Utc::now().trunc_subsecs(6);
        let (token, expires_at) = (Uuid::now_v7(), now + self.life);
        let mut tx = db.begin();
        person::hold::<_, P>(&mut tx, id, checked).await?;
        // anybody's: nobody else sweeps
        tx.query(&format!("DELETE FROM {table} WHERE expires_at <= $1"))
            .bind(now)
            .execute()
            .await?;
        tx.query(&format!(
            "DELETE FROM {table} WHERE id IN (
                SELECT id FROM {table} WHERE {key} = $1 ORDER BY id DESC LIMIT 1000 OFFSET $2)"
        ))
        .bind(id)
        .bind(self.most - 1)
        .execute()
        .await?;
        tx.query(&format!(
            "INSERT INTO {table} (id, {key}, digest, created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5)"
        ))
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

    pub(crate) async fn authenticate(
        &self,
        db: &CentralDb,
        secret: &str,
    ) -> Result<Option<P>, DbError> {
        if !self.is_one(secret) {
            return Ok(None);
        }
        let People {
            table,
            columns,
            key,
            active,
        } = P::PEOPLE;
        db.query(&format!(
            "SELECT {columns} FROM {table} WHERE {active} AND id =
                (SELECT {key} FROM {} WHERE digest = $1 AND expires_at > $2)",
            self.table
        ))
        .bind(digest(secret))
        .bind(Utc::now())
        .optional()
        .await
    }

    pub(crate) async fn end(&self, db: &CentralDb, secret: &str) -> Result<(), DbError> {
        db.query(&format!("DELETE FROM {} WHERE digest = $1", self.table))
            .bind(digest(secret))
            .execute()
            .await
            .map(drop)
    }

    pub(crate) async fn end_all(
        &self,
        on: &mut impl Executor<CentralScope>,
        id: Uuid,
    ) -> Result<(), DbError> {
        let (table, People { key, .. }) = (self.table, P::PEOPLE);
        on.query(&format!("DELETE FROM {table} WHERE {key} = $1"))
            .bind(id)
            .execute()
            .await
            .map(drop)
    }
}

pub(super) const TOKENS: CentralTokens<Account> = CentralTokens {
    table: "tenantry_account_tokens",
    mark: "tna_",
    life: TimeDelta::days(14),
    most: 50,
    whose: PhantomData,
};

impl Accounts<'_> {
    /// Whether `secret` looks like an account's token.
    #[must_use]
    pub fn is_token(secret: &str) -> bool {
        TOKENS.is_one(secret)
    }

    /// Makes a token for an account, good for two weeks. [`sign_in`](Self::sign_in) makes one by
    /// itself.
    ///
    /// # Errors
    /// [`DbError::NotFound`] when there is no such account, or it is disabled.
    pub async fn issue(&self, id: Uuid) -> Result<IssuedToken, DbError> {
        TOKENS.issue(&self.db, id, None).await
    }

    /// The account that a token speaks for: nobody when it is unknown or has expired, or the
    /// account was disabled.
    ///
    /// # Errors
    /// When the database fails; which must be taken as a refusal.
    pub async fn authenticate(&self, secret: &str) -> Result<Option<Account>, DbError> {
        TOKENS.authenticate(&self.db, secret).await
    }

    /// Ends a token.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sign_out(&self, secret: &str) -> Result<(), DbError> {
        TOKENS.end(&self.db, secret).await
    }

    /// Ends every token of an account.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sign_out_all(&self, id: Uuid) -> Result<(), DbError> {
        TOKENS.end_all(&mut self.db.clone(), id).await
    }
}
