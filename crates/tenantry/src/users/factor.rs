//! Second factors of whichever people: one mechanism for users, accounts and operators.

use chrono::{DateTime, SubsecRound, Utc};
use uuid::Uuid;

use super::{
    NewSecondFactor, SignInError,
    person::Person,
    totp::{Codes, recovery_codes, recovery_digest},
};
use crate::db::{Db, DbError, Executor, FromRow, Row};

/// Where the second factors of one kind of people are kept.
pub(crate) struct Factors {
    /// Named by the people's key, with `secret`, `confirmed_at` and `last_step`.
    pub(crate) factors: &'static str,
    /// The recovery codes' digests.
    pub(crate) codes: &'static str,
    /// By which both name whose they are.
    pub(crate) key: &'static str,
}

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

impl Factors {
    pub(crate) async fn begin<S>(
        &self,
        db: &Db<S>,
        who: &impl Person,
        issuer: &str,
    ) -> Result<Option<NewSecondFactor>, DbError> {
        let Self { factors, key, .. } = self;
        let secret = Codes::new_secret()?;
        let codes = Codes::of(secret.clone(), issuer, who.email())?;
        let begun = db
            .query(&format!(
                "INSERT INTO {factors} ({key}, secret) VALUES ($1, $2)
                 ON CONFLICT ({key}) DO UPDATE SET secret = excluded.secret, last_step = 0
                 WHERE {factors}.confirmed_at IS NULL"
            ))
            .bind(who.id())
            .bind(secret)
            .execute()
            .await?;
        Ok((begun == 1).then(|| codes.into_new()))
    }

    /// The recovery codes, when `code` is one of what was begun.
    pub(crate) async fn confirm<S>(
        &self,
        on: &mut impl Executor<S>,
        id: Uuid,
        code: &str,
    ) -> Result<Option<Vec<String>>, DbError> {
        let Self { factors, key, .. } = self;
        let Some(kept) = self.kept(on, id).await? else {
            return Ok(None);
        };
        let secret = kept.secret.clone();
        if kept.confirmed_at.is_some() || !self.use_code(on, id, kept, code).await? {
            return Ok(None);
        }
        // unless another was begun meanwhile, of which no code was shown, or it counts already
        let confirmed = on
            .query(&format!(
                "UPDATE {factors} SET confirmed_at = $2
                 WHERE {key} = $1 AND secret = $3 AND confirmed_at IS NULL"
            ))
            .bind(id)
            .bind(Utc::now().trunc_subsecs(6))
            .bind(secret)
            .execute()
            .await?;
        if confirmed == 0 {
            return Ok(None);
        }
        self.replace_recovery_codes(on, id).await.map(Some)
    }

    pub(crate) async fn is_on<S>(
        &self,
        on: &mut impl Executor<S>,
        id: Uuid,
    ) -> Result<bool, DbError> {
        let Self { factors, key, .. } = self;
        let count: i64 = on
            .query(&format!(
                "SELECT count(*) FROM {factors} WHERE {key} = $1 AND confirmed_at IS NOT NULL"
            ))
            .bind(id)
            .scalar()
            .await?;
        Ok(count > 0)
    }

    pub(crate) async fn check<S>(&self, db: &Db<S>, id: Uuid, code: &str) -> Result<bool, DbError> {
        let mut tx = db.begin();
        let Some(kept) = self.kept(&mut tx, id).await? else {
            return Ok(false);
        };
        let good = kept.confirmed_at.is_some()
            && (self.use_code(&mut tx, id, kept, code).await?
                || self.use_recovery_code(&mut tx, id, code).await?);
        tx.commit().await?;
        Ok(good)
    }

    /// Refuses where there is one that counts, and `code` is none of it.
    pub(crate) async fn demand<S>(
        &self,
        db: &Db<S>,
        id: Uuid,
        code: Option<&str>,
    ) -> Result<(), SignInError> {
        if !self.is_on(&mut db.clone(), id).await? {
            return Ok(());
        }
        let good = match code {
            Some(code) => self.check(db, id, code).await?,
            None => false,
        };
        if good {
            Ok(())
        } else {
            Err(SignInError::SecondFactor)
        }
    }

    pub(crate) async fn recovery_codes_left<S>(
        &self,
        db: &Db<S>,
        id: Uuid,
    ) -> Result<i64, DbError> {
        let Self { codes, key, .. } = self;
        db.query(&format!("SELECT count(*) FROM {codes} WHERE {key} = $1"))
            .bind(id)
            .scalar()
            .await
    }

    pub(crate) async fn renew_recovery_codes<S>(
        &self,
        db: &Db<S>,
        id: Uuid,
    ) -> Result<Vec<String>, DbError> {
        let mut tx = db.begin();
        let codes = self.replace_recovery_codes(&mut tx, id).await?;
        tx.commit().await?;
        Ok(codes)
    }

    pub(crate) async fn remove<S>(
        &self,
        on: &mut impl Executor<S>,
        id: Uuid,
    ) -> Result<(), DbError> {
        for table in [self.factors, self.codes] {
            on.query(&format!("DELETE FROM {table} WHERE {} = $1", self.key))
                .bind(id)
                .execute()
                .await?;
        }
        Ok(())
    }

    async fn kept<S>(&self, on: &mut impl Executor<S>, id: Uuid) -> Result<Option<Kept>, DbError> {
        let Self { factors, key, .. } = self;
        on.query(&format!(
            "SELECT secret, confirmed_at FROM {factors} WHERE {key} = $1"
        ))
        .bind(id)
        .optional()
        .await
    }

    /// A code is good once: those of its time and of earlier ones are then used up.
    async fn use_code<S>(
        &self,
        on: &mut impl Executor<S>,
        id: Uuid,
        kept: Kept,
        code: &str,
    ) -> Result<bool, DbError> {
        let Self { factors, key, .. } = self;
        let Some(step) = Codes::of(kept.secret.clone(), "", "")?.current_step_of(code) else {
            return Ok(false);
        };
        let used = on
            .query(&format!(
                "UPDATE {factors} SET last_step = $2
                 WHERE {key} = $1 AND last_step < $2 AND secret = $3"
            ))
            .bind(id)
            .bind(step)
            .bind(kept.secret)
            .execute()
            .await?;
        Ok(used == 1)
    }

    async fn use_recovery_code<S>(
        &self,
        on: &mut impl Executor<S>,
        id: Uuid,
        code: &str,
    ) -> Result<bool, DbError> {
        let Self { codes, key, .. } = self;
        let Some(digest) = recovery_digest(code) else {
            return Ok(false);
        };
        let used = on
            .query(&format!(
                "DELETE FROM {codes} WHERE {key} = $1 AND digest = $2"
            ))
            .bind(id)
            .bind(digest)
            .execute()
            .await?;
        Ok(used == 1)
    }

    async fn replace_recovery_codes<S>(
        &self,
        on: &mut impl Executor<S>,
        id: Uuid,
    ) -> Result<Vec<String>, DbError> {
        let Self {
            codes: table, key, ..
        } = self;
        on.query(&format!("DELETE FROM {table} WHERE {key} = $1"))
            .bind(id)
            .execute()
            .await?;
        let codes = recovery_codes()?;
        for digest in codes.iter().filter_map(|code| recovery_digest(code)) {
            on.query(&format!(
                "INSERT INTO {table} ({key}, digest) VALUES ($1, $2)"
            ))
            .bind(id)
            .bind(digest)
            .execute()
            .await?;
        }
        Ok(codes)
    }
}
