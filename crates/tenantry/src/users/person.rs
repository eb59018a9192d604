//! What users, accounts and operators have in common: an address, a password, and where they are
//! kept.

use uuid::Uuid;

use super::{Passwords, SignInError, UserError, account::normalise};
use crate::db::{DbError, Executor, FromRow, Row};

/// Where one kind of people is kept.
pub(crate) struct People {
    /// Their table.
    pub(crate) table: &'static str,
    /// What [`FromRow`] reads of it, in its order.
    pub(crate) columns: &'static str,
    /// By which other tables name them.
    pub(crate) key: &'static str,
    /// What holds for those who may sign in.
    pub(crate) active: &'static str,
}

/// Somebody who signs in with an address and a password.
pub(crate) trait Person: FromRow + Send + 'static {
    /// Where they are kept.
    const PEOPLE: People;
    /// How many columns they take: what else a row holds comes after them.
    const WIDTH: usize;

    fn id(&self) -> Uuid;
    fn email(&self) -> &str;
}

/// Somebody whose password was right. What they are given for it is made only while it still is.
#[derive(Clone)]
pub(crate) struct Checked<P> {
    pub(crate) person: P,
    /// The hash that was compared: another one with each change of the password.
    pub(crate) hash: String,
}

impl<P: Person> FromRow for Checked<P> {
    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        Ok(Self {
            person: P::from_row(row)?,
            hash: row.field(P::WIDTH, "password_hash")?,
        })
    }
}

/// Whoever has that address and password and may sign in; the same work is done whatever is wrong.
/// A hash of less work than today's is replaced.
pub(crate) async fn check_password<S, P: Person>(
    on: &mut impl Executor<S>,
    passwords: &Passwords,
    email: &str,
    password: &str,
) -> Result<Option<Checked<P>>, UserError> {
    let People {
        table,
        columns,
        active,
        ..
    } = P::PEOPLE;
    let email = normalise(email);
    loop {
        let found: Option<Checked<P>> = match on
            .query(&format!(
                "SELECT {columns}, password_hash FROM {table} WHERE email = $1 AND {active}"
            ))
            .bind(&email)
            .optional()
            .await
        {
            Err(DbError::NulInText) => None, // nobody has such an address
            other => other?,
        };
        let hash = found.as_ref().map(|found| found.hash.as_str());
        if !passwords.verify(password, hash).await? {
            return Ok(None);
        }
        let Some(mut checked) = found else {
            return Ok(None);
        };
        if passwords.is_outdated(&checked.hash) {
            let hash = passwords.hash(password).await?;
            let replaced = on
                .query(&format!(
                    "UPDATE {table} SET password_hash = $2 WHERE id = $1 AND password_hash = $3"
                ))
                .bind(checked.person.id())
                .bind(&hash)
                .bind(&checked.hash)
                .execute()
                .await?;
            if replaced == 0 {
                continue; // it was changed meanwhile, if only by another sign-in
            }
            checked.hash = hash;
        }
        return Ok(Some(checked));
    }
}

/// Holds the row of somebody who may sign in until the transaction ends, so that what they are
/// given meanwhile counts each other; refuses when they may not, or when their password is no longer
/// the one that was checked.
pub(crate) async fn hold<S, P: Person>(
    on: &mut impl Executor<S>,
    id: Uuid,
    checked: Option<&str>,
) -> Result<(), DbError> {
    let People { table, active, .. } = P::PEOPLE;
    let held = on
        .query(&format!(
            "UPDATE {table} SET email = email
             WHERE id = $1 AND {active} AND password_hash = coalesce($2, password_hash)"
        ))
        .bind(id)
        .bind(checked)
        .execute()
        .await?;
    if held == 0 {
        return Err(DbError::NotFound);
    }
    Ok(())
}

/// What somebody is told whose password was changed, or who was sent away, while they signed in.
pub(crate) fn too_late(error: DbError) -> SignInError {
    match error {
        DbError::NotFound => SignInError::InvalidCredentials,
        error => error.into(),
    }
}
