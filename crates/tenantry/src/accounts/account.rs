use chrono::{DateTime, SubsecRound, Utc};
use uuid::Uuid;

use super::{Accounts, link::end_access};
use crate::{
    db::{CentralScope, DbError, Executor, FromRow, Row},
    users::{
        PasswordError, normalise,
        person::{People, Person},
    },
};

/// Somebody with one account and any number of memberships.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Account {
    /// Their identity.
    pub id: Uuid,
    /// Their address, in lower case; unique in the deployment.
    pub email: String,
    /// The given name.
    pub first_name: String,
    /// The family name; empty where there is none.
    pub last_name: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was disabled; not where there is none.
    pub disabled_at: Option<DateTime<Utc>>,
}

pub(super) const COLUMNS: &str = "id, email, first_name, last_name, created_at, disabled_at";
pub(super) const WIDTH: usize = 6;

impl FromRow for Account {
    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        Ok(Self {
            id: row.field(0, "id")?,
            email: row.field(1, "email")?,
            first_name: row.field(2, "first_name")?,
            last_name: row.field(3, "last_name")?,
            created_at: row.field(4, "created_at")?,
            disabled_at: row.field(5, "disabled_at")?,
        })
    }
}

/// An account to be made.
#[derive(Clone)]
pub struct NewAccount {
    /// The address.
    pub email: String,
    /// The password in clear.
    pub password: String,
    /// The given name.
    pub first_name: String,
    /// The family name, or nothing.
    pub last_name: String,
}

/// Why an account could not be made or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccountError {
    /// Another account has that address.
    #[error("the e-mail address is taken")]
    EmailTaken,
    /// The link is unknown, used up, expired, or for another purpose: which, is not told.
    #[error("the link is not good, or no longer")]
    Link,
    /// The password cannot be taken.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The database failed, or there is no such account.
    #[error(transparent)]
    Db(DbError),
}

impl From<DbError> for AccountError {
    fn from(error: DbError) -> Self {
        if error.is_unique("tenantry_accounts", &["email"]) {
            Self::EmailTaken
        } else {
            Self::Db(error)
        }
    }
}

impl Person for Account {
    const PEOPLE: People = People {
        table: "tenantry_accounts",
        columns: COLUMNS,
        key: "account_id",
        active: "disabled_at IS NULL",
    };
    const WIDTH: usize = WIDTH;

    fn id(&self) -> Uuid {
        self.id
    }

    fn email(&self) -> &str {
        &self.email
    }
}

impl Accounts<'_> {
    /// Makes an account.
    ///
    /// # Errors
    /// [`AccountError::EmailTaken`].
    pub async fn create(&self, new: NewAccount) -> Result<Account, AccountError> {
        let hash = self.passwords().hash(&new.password).await?;
        insert(&mut self.db.clone(), new, hash).await
    }

    /// The account of that identity.
    ///
    /// # Errors
    /// [`DbError::NotFound`].
    pub async fn get(&self, id: Uuid) -> Result<Account, DbError> {
        self.db
            .query(&format!(
                "SELECT {COLUMNS} FROM tenantry_accounts WHERE id = $1"
            ))
            .bind(id)
            .one()
            .await
    }

    /// The account of that address.
    ///
    /// # Errors
    /// [`DbError::NotFound`].
    pub async fn by_email(&self, email: &str) -> Result<Account, DbError> {
        self.db
            .query(&format!(
                "SELECT {COLUMNS} FROM tenantry_accounts WHERE email = $1"
            ))
            .bind(normalise(email))
            .one()
            .await
    }

    /// Sets a new password, which ends all that the account is signed in with, and what was mailed
    /// to it.
    ///
    /// # Errors
    /// [`DbError::NotFound`].
    pub async fn set_password(&self, id: Uuid, password: &str) -> Result<(), AccountError> {
        let hash = self.passwords().hash(password).await?;
        self.end(
            "UPDATE tenantry_accounts SET password_hash = $2 WHERE id = $1",
            id,
            hash,
        )
        .await
    }

    /// Lets the account in no more, and ends all that it is signed in with and what was mailed to it.
    ///
    /// # Errors
    /// [`DbError::NotFound`].
    pub async fn disable(&self, id: Uuid) -> Result<(), AccountError> {
        self.end(
            "UPDATE tenantry_accounts SET disabled_at = $2 WHERE id = $1",
            id,
            Utc::now().trunc_subsecs(6),
        )
        .await
    }

    async fn end(
        &self,
        update: &str,
        id: Uuid,
        value: impl Into<crate::db::Value>,
    ) -> Result<(), AccountError> {
        let mut tx = self.db.begin();
        let changed = tx.query(update).bind(id).bind(value).execute().await?;
        if changed == 0 {
            return Err(DbError::NotFound.into());
        }
        end_access(&mut tx, id).await?;
        Ok(tx.commit().await?)
    }
}

pub(super) async fn insert(
    on: &mut impl Executor<CentralScope>,
    new: NewAccount,
    hash: String,
) -> Result<Account, AccountError> {
    let account = Account {
        id: Uuid::now_v7(),
        email: normalise(&new.email),
        first_name: new.first_name,
        last_name: new.last_name,
        created_at: Utc::now().trunc_subsecs(6),
        disabled_at: None,
    };
    on.query(
        "INSERT INTO tenantry_accounts
            (id, email, first_name, last_name, created_at, password_hash)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(account.id)
    .bind(&account.email)
    .bind(&account.first_name)
    .bind(&account.last_name)
    .bind(account.created_at)
    .bind(hash)
    .execute()
    .await?;
    Ok(account)
}
