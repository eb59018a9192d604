use chrono::{DateTime, SubsecRound, Utc};
use uuid::Uuid;

use super::{
    PasswordError, Passwords,
    person::{self, People, Person},
};
use crate::db::{DbError, Executor, FromRow, Row, TenantScope};

/// Somebody who can sign in to a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct User {
    /// Its identity within the tenant.
    pub id: Uuid,
    /// The address, in lower case; unique within the tenant.
    pub email: String,
    /// The given name.
    pub first_name: String,
    /// The family name; empty where there is none.
    pub last_name: String,
    /// The role, one of the application's own words.
    pub role: String,
    /// Whether it may sign in.
    pub active: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When the address was last shown to be theirs; not yet where there is none.
    pub email_verified_at: Option<DateTime<Utc>>,
}

impl User {
    /// What [`FromRow`] reads, in its order.
    pub const COLUMNS: &str =
        "id, email, first_name, last_name, role, active, created_at, email_verified_at";
}

impl Person for User {
    const PEOPLE: People = People {
        table: "users",
        columns: User::COLUMNS,
        key: "user_id",
        active: "active",
    };
    const WIDTH: usize = 8;

    fn id(&self) -> Uuid {
        self.id
    }

    fn email(&self) -> &str {
        &self.email
    }
}

impl FromRow for User {
    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        Ok(Self {
            id: row.field(0, "id")?,
            email: row.field(1, "email")?,
            first_name: row.field(2, "first_name")?,
            last_name: row.field(3, "last_name")?,
            role: row.field(4, "role")?,
            active: row.field(5, "active")?,
            created_at: row.field(6, "created_at")?,
            email_verified_at: row.field(7, "email_verified_at")?,
        })
    }
}

/// An account to be made. The password is hashed when it is.
#[derive(Clone)]
pub struct NewUser {
    /// The address.
    pub email: String,
    /// The password in clear.
    pub password: String,
    /// The given name.
    pub first_name: String,
    /// The family name, or nothing.
    pub last_name: String,
    /// The role.
    pub role: String,
}

/// What is to be changed of an account; `None` stays as it is.
#[derive(Clone, Default)]
pub struct UserChange {
    /// The address.
    pub email: Option<String>,
    /// The password in clear; a new one ends all that was signed in, and what was mailed.
    pub password: Option<String>,
    /// The given name.
    pub first_name: Option<String>,
    /// The family name.
    pub last_name: Option<String>,
    /// The role.
    pub role: Option<String>,
    /// Whether it may sign in; `false` ends all that was signed in, and what was mailed.
    pub active: Option<bool>,
}

/// Why an account could not be made or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UserError {
    /// Another account of the tenant has that address.
    #[error("the e-mail address is taken")]
    EmailTaken,
    /// The password cannot be taken.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The database failed.
    #[error(transparent)]
    Db(DbError),
}

impl From<DbError> for UserError {
    fn from(error: DbError) -> Self {
        if error.is_unique("users", &["email"]) {
            Self::EmailTaken
        } else {
            Self::Db(error)
        }
    }
}

const COLUMNS: &str = User::COLUMNS;

/// The accounts of one tenant, through a handle or a transaction of its database.
///
/// ```
/// # use tenantry::{Tenancy, Tenant, db::DbError, users::{User, Users}};
/// async fn ann(tenancy: &Tenancy, tenant: &Tenant) -> Result<User, DbError> {
///     let mut db = tenancy.db(tenant).await?;
///     Users::on(&mut db).by_email("ann@example.com").await
/// }
/// ```
pub struct Users<'e, E>(&'e mut E);

impl<'e, E: Executor<TenantScope>> Users<'e, E> {
    /// The accounts that `executor` reaches.
    pub fn on(executor: &'e mut E) -> Self {
        Self(executor)
    }

    /// The account of that id.
    ///
    /// # Errors
    /// [`DbError::NotFound`].
    pub async fn get(&mut self, id: Uuid) -> Result<User, DbError> {
        self.0
            .query(&format!("SELECT {COLUMNS} FROM users WHERE id = $1"))
            .bind(id)
            .one()
            .await
    }

    /// The account of that address.
    ///
    /// # Errors
    /// [`DbError::NotFound`].
    pub async fn by_email(&mut self, email: &str) -> Result<User, DbError> {
        self.0
            .query(&format!("SELECT {COLUMNS} FROM users WHERE email = $1"))
            .bind(normalise(email))
            .one()
            .await
    }

    /// Every account, by address.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn all(&mut self) -> Result<Vec<User>, DbError> {
        self.0
            .query(&format!("SELECT {COLUMNS} FROM users ORDER BY email"))
            .all()
            .await
    }

    /// Makes an account.
    ///
    /// # Errors
    /// [`UserError::EmailTaken`].
    pub async fn create(&mut self, passwords: &Passwords, new: NewUser) -> Result<User, UserError> {
        let hash = passwords.hash(&new.password).await?;
        self.create_hashed(new, hash).await
    }

    /// Makes an account whose password was hashed before, outside of a transaction: hashing takes
    /// long. `new.password` is not looked at.
    ///
    /// # Errors
    /// [`UserError::EmailTaken`].
    pub async fn create_hashed(&mut self, new: NewUser, hash: String) -> Result<User, UserError> {
        let user = User {
            id: Uuid::now_v7(),
            email: normalise(&new.email),
            first_name: new.first_name,
            last_name: new.last_name,
            role: new.role,
            active: true,
            created_at: Utc::now().trunc_subsecs(6),
            email_verified_at: None,
        };
        self.0
            .query(
                "INSERT INTO users
                    (id, email, password_hash, first_name, last_name, role, active, created_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            )
            .bind(user.id)
            .bind(&user.email)
            .bind(hash)
            .bind(&user.first_name)
            .bind(&user.last_name)
            .bind(&user.role)
            .bind(user.active)
            .bind(user.created_at)
            .execute()
            .await?;
        Ok(user)
    }

    /// Changes an account.
    ///
    /// # Errors
    /// [`UserError::EmailTaken`]; [`DbError::NotFound`].
    pub async fn change(
        &mut self,
        passwords: &Passwords,
        id: Uuid,
        change: UserChange,
    ) -> Result<User, UserError> {
        let hash = match &change.password {
            Some(password) => Some(passwords.hash(password).await?),
            None => None,
        };
        self.change_hashed(id, change, hash).await
    }

    /// Changes an account, with a password that was hashed before, outside of a transaction: hashing
    /// takes long. `change.password` is not looked at.
    ///
    /// # Errors
    /// [`UserError::EmailTaken`]; [`DbError::NotFound`].
    pub async fn change_hashed(
        &mut self,
        id: Uuid,
        change: UserChange,
        hash: Option<String>,
    ) -> Result<User, UserError> {
        let ends_access = hash.is_some() || change.active == Some(false);
        let ends_invitations = change.active == Some(false) || change.role.is_some();
        let new_email = change.email.as_deref().map(normalise);
        if let Some(email) = &new_email {
            // what was mailed to the old address is worth nothing at the new one
            self.0
                .query(
                    "DELETE FROM links WHERE user_id = $1
                        AND EXISTS (SELECT 1 FROM users WHERE id = $1 AND email <> $2)",
                )
                .bind(id)
                .bind(email)
                .execute()
                .await?;
        }
        let user = self
            .0
            .query(&format!(
                "UPDATE users SET email = coalesce($2, email),
                    password_hash = coalesce($3, password_hash),
                    first_name = coalesce($4, first_name), last_name = coalesce($5, last_name),
                    role = coalesce($6, role), active = coalesce($7, active),
                    email_verified_at = CASE WHEN coalesce($2, email) = email
                        THEN email_verified_at END
                 WHERE id = $1 RETURNING {COLUMNS}"
            ))
            .bind(id)
            .bind(new_email)
            .bind(hash)
            .bind(change.first_name)
            .bind(change.last_name)
            .bind(change.role)
            .bind(change.active)
            .one()
            .await?;
        if ends_access {
            self.end_access(id).await?;
        }
        if ends_invitations {
            self.end_invitations(id).await?;
        }
        Ok(user)
    }

    /// Ends the invitations that a user has made: whoever is sent away has no way back of their own.
    async fn end_invitations(&mut self, id: Uuid) -> Result<(), DbError> {
        self.0
            .query("DELETE FROM links WHERE made_by = $1 AND purpose = 'invitation'")
            .bind(id)
            .execute()
            .await
            .map(drop)
    }

    /// Ends all that the user was signed in with, tokens, sessions and JWTs, and the links that
    /// were mailed to them. Others' are untouched.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_access(&mut self, id: Uuid) -> Result<(), DbError> {
        for table in ["tokens", "sessions", "jwt_families", "links"] {
            self.0
                .query(&format!("DELETE FROM {table} WHERE user_id = $1"))
                .bind(id)
                .execute()
                .await?;
        }
        Ok(())
    }

    /// Removes an account, and all that it was signed in with.
    ///
    /// # Errors
    /// [`DbError::NotFound`]; [`DbError::ForeignKey`] when rows of the application's still name it.
    pub async fn delete(&mut self, id: Uuid) -> Result<(), DbError> {
        self.end_invitations(id).await?;
        let gone = self
            .0
            .query("DELETE FROM users WHERE id = $1")
            .bind(id)
            .execute()
            .await?;
        if gone == 0 {
            return Err(DbError::NotFound);
        }
        Ok(())
    }

    /// The active account of that address and password, if both are right; the same work is done
    /// whatever is wrong. A hash of less work than today's is replaced.
    ///
    /// This neither counts attempts nor asks for a second factor: to let somebody in, use
    /// [`Tenancy::sign_in`](crate::Tenancy::sign_in).
    ///
    /// # Errors
    /// When the database fails, or too many passwords wait to be checked.
    pub async fn check_password(
        &mut self,
        passwords: &Passwords,
        email: &str,
        password: &str,
    ) -> Result<Option<User>, UserError> {
        let checked = person::check_password(self.0, passwords, email, password).await?;
        Ok(checked.map(|checked| checked.person))
    }
}

/// Addresses are compared without regard to case.
pub(crate) fn normalise(email: &str) -> String {
    email.trim().to_lowercase()
}
