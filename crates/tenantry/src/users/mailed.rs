//! What is mailed to whichever people: one mechanism for users and accounts.

use chrono::{SubsecRound, Utc};
use uuid::Uuid;

use super::{
    IssuedLink, Purpose,
    person::{People, Person},
    secret::{Secret, digest, prefix_of},
};
use crate::db::{DbError, Executor, FromRow, Tx};

/// Where the links of one kind of people are kept.
pub(crate) struct Mailed {
    /// Named by the people's key, with `purpose`, `email`, `digest`, `created_at` and `expires_at`.
    pub(crate) links: &'static str,
    /// What their text begins with.
    pub(crate) mark: &'static str,
}

impl Mailed {
    /// Makes a link for `whose` and that address, and ends those of the same purpose and person, as
    /// well as all that have expired.
    pub(crate) async fn issue<S, P: Person>(
        &self,
        tx: &mut Tx<S>,
        purpose: Purpose,
        whose: Option<Uuid>,
        email: &str,
    ) -> Result<IssuedLink, DbError> {
        let (Self { links, mark }, People { key, .. }) = (self, P::PEOPLE);
        let secret = Secret::new(mark)?;
        let now = Utc::now().trunc_subsecs(6);
        let (id, expires_at) = (Uuid::now_v7(), now + purpose.life());
        tx.query(&format!(
            "DELETE FROM {links} WHERE purpose = $1 AND (email = $2 OR {key} = $3)
                OR expires_at <= $4"
        ))
        .bind(purpose.as_str())
        .bind(email)
        .bind(whose)
        .bind(now)
        .execute()
        .await?;
        tx.query(&format!(
            "INSERT INTO {links} (id, purpose, {key}, email, digest, created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)"
        ))
        .bind(id)
        .bind(purpose.as_str())
        .bind(whose)
        .bind(email)
        .bind(secret.digest())
        .bind(now)
        .bind(expires_at)
        .execute()
        .await?;
        Ok(IssuedLink::new(id, email.to_owned(), secret, expires_at))
    }

    /// The address that a good link was sent to; it stays good.
    pub(crate) async fn look_at<S, P: Person>(
        &self,
        on: &mut impl Executor<S>,
        purpose: Purpose,
        secret: &str,
    ) -> Result<Option<String>, DbError> {
        if prefix_of(secret, self.mark).is_none() {
            return Ok(None);
        }
        let found = on
            .query(&format!(
                "SELECT email FROM {} WHERE {}",
                self.links,
                self.good::<P>()
            ))
            .bind(digest(secret))
            .bind(purpose.as_str())
            .bind(Utc::now())
            .optional::<(String,)>()
            .await?;
        Ok(found.map(|(email,)| email))
    }

    /// Uses a good link up, and returns these columns of it. Of two who try at once, one does.
    pub(crate) async fn take<S, P: Person, R: FromRow + Send + 'static>(
        &self,
        on: &mut impl Executor<S>,
        purpose: Purpose,
        secret: &str,
        columns: &str,
    ) -> Result<Option<R>, DbError> {
        if prefix_of(secret, self.mark).is_none() {
            return Ok(None);
        }
        on.query(&format!(
            "DELETE FROM {} WHERE {} RETURNING {columns}",
            self.links,
            self.good::<P>()
        ))
        .bind(digest(secret))
        .bind(purpose.as_str())
        .bind(Utc::now())
        .optional()
        .await
    }

    /// A link is good while whoever it is for may sign in, and has the address that it was sent to
    /// unless it is to become theirs. An invitation is for somebody who is not there yet.
    fn good<P: Person>(&self) -> String {
        let links = self.links;
        let People {
            table, key, active, ..
        } = P::PEOPLE;
        format!(
            "digest = $1 AND purpose = $2 AND expires_at > $3
                AND (purpose = 'invitation' AND {key} IS NULL OR EXISTS
                    (SELECT 1 FROM {table} WHERE {table}.id = {links}.{key} AND {table}.{active}
                        AND ({table}.email = {links}.email OR {links}.purpose = 'change-email')))"
        )
    }
}
