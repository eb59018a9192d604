use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use uuid::Uuid;

use super::{
    PasswordError, Passwords, User, UserChange, UserError, Users,
    account::normalise,
    secret::{Secret, digest, prefix_of},
};
use crate::db::{DbError, Executor, FromRow, Row, TenantDb, TenantScope};

const MARK: &str = "tnl_";

/// What a mailed link lets its reader do, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose {
    /// Set a new password.
    ResetPassword,
    /// Show that the account's address is theirs.
    VerifyEmail,
    /// Make the address it was sent to the account's.
    ChangeEmail,
    /// Make an account.
    Invitation,
}

impl Purpose {
    fn as_str(self) -> &'static str {
        match self {
            Self::ResetPassword => "reset-password",
            Self::VerifyEmail => "verify-email",
            Self::ChangeEmail => "change-email",
            Self::Invitation => "invitation",
        }
    }

    /// How long such a link is good for.
    #[must_use]
    pub fn life(self) -> TimeDelta {
        match self {
            Self::ResetPassword => TimeDelta::hours(1),
            Self::VerifyEmail | Self::ChangeEmail => TimeDelta::days(1),
            Self::Invitation => TimeDelta::days(7),
        }
    }
}

/// A link's secret part, given out once: only its digest is kept.
#[derive(Clone)]
#[non_exhaustive]
pub struct IssuedLink {
    /// Its identity.
    pub id: Uuid,
    /// The address it is to be mailed to, and to no other.
    pub email: String,
    /// What the URL has to carry.
    pub secret: String,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

impl IssuedLink {
    pub(crate) fn new(id: Uuid, email: String, secret: Secret, expires_at: DateTime<Utc>) -> Self {
        Self {
            id,
            email,
            secret: secret.into_text(),
            expires_at,
        }
    }
}

/// Somebody who was asked to join and has not yet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Invitation {
    /// Its identity.
    pub id: Uuid,
    /// Whom it was sent to.
    pub email: String,
    /// The role that they will have.
    pub role: String,
    /// Who asked them, while that account exists.
    pub made_by: Option<Uuid>,
    /// When they were asked.
    pub created_at: DateTime<Utc>,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

impl FromRow for Invitation {
    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        Ok(Self {
            id: row.field(0, "id")?,
            email: row.field(1, "email")?,
            role: row.field(2, "role")?,
            made_by: row.field(3, "made_by")?,
            created_at: row.field(4, "created_at")?,
            expires_at: row.field(5, "expires_at")?,
        })
    }
}

/// Who accepts an invitation.
#[derive(Clone)]
pub struct NewPerson {
    /// The password in clear.
    pub password: String,
    /// The given name.
    pub first_name: String,
    /// The family name, or nothing.
    pub last_name: String,
}

/// Why a link does not do what it was made for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// It is unknown here, used up, expired, or for another purpose: which, is not told.
    #[error("the link is not good, or no longer")]
    Invalid,
    /// Its account could not be made or changed.
    #[error(transparent)]
    User(#[from] UserError),
}

impl From<DbError> for LinkError {
    fn from(error: DbError) -> Self {
        Self::User(error.into())
    }
}

impl From<PasswordError> for LinkError {
    fn from(error: PasswordError) -> Self {
        Self::User(error.into())
    }
}

/// What is mailed to people of one tenant, so that they can do something once.
///
/// A link is 32 random bytes. A tenant keeps the SHA-256 of its own, so one of another tenant is
/// simply unknown to it. Using a link and what it is used for are one transaction.
#[derive(Debug)]
pub struct Links<'d>(&'d TenantDb);

struct Found {
    user_id: Option<Uuid>,
    email: String,
    role: Option<String>,
}

impl FromRow for Found {
    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        Ok(Self {
            user_id: row.field(0, "user_id")?,
            email: row.field(1, "email")?,
            role: row.field(2, "role")?,
        })
    }
}

struct NewLink<'a> {
    purpose: Purpose,
    user_id: Option<Uuid>,
    email: &'a str,
    role: Option<&'a str>,
    made_by: Option<Uuid>,
}

impl<'d> Links<'d> {
    /// The links of `db`'s tenant.
    #[must_use]
    pub fn on(db: &'d TenantDb) -> Self {
        Self(db)
    }

    /// A link to set a new password, for whoever has that address; `None` when nobody has. The
    /// same work is done for both, and the answer to whoever asked must be the same too. The
    /// account's earlier ones end.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reset_password(&self, email: &str) -> Result<Option<IssuedLink>, DbError> {
        let email = normalise(email);
        let user: Option<User> = self
            .0
            .query(&format!(
                "SELECT {} FROM users WHERE email = $1 AND active",
                User::COLUMNS
            ))
            .bind(&email)
            .optional()
            .await?;
        let issued = self
            .issue(NewLink {
                purpose: Purpose::ResetPassword,
                user_id: user.as_ref().map(|user| user.id),
                email: &email,
                role: None,
                made_by: None,
            })
            .await?;
        Ok(user.map(|_| issued))
    }

    /// A link by which a user shows that the address is theirs.
    ///
    /// # Errors
    /// [`DbError::NotFound`] when there is no such user.
    pub async fn verify_email(&self, user_id: Uuid) -> Result<IssuedLink, DbError> {
        let user = Users::on(&mut self.0.clone()).get(user_id).await?;
        self.issue(NewLink {
            purpose: Purpose::VerifyEmail,
            user_id: Some(user_id),
            email: &user.email,
            role: None,
            made_by: None,
        })
        .await
    }

    /// A link that makes `email` the user's address, to be mailed there. Whether the address is
    /// taken comes out when the link is used, so that nobody finds out who has an account.
    ///
    /// # Errors
    /// [`DbError::ForeignKey`] when there is no such user.
    pub async fn change_email(&self, user_id: Uuid, email: &str) -> Result<IssuedLink, DbError> {
        self.issue(NewLink {
            purpose: Purpose::ChangeEmail,
            user_id: Some(user_id),
            email: &normalise(email),
            role: None,
            made_by: None,
        })
        .await
    }

    /// Asks somebody to join. An earlier invitation of the same address ends.
    ///
    /// # Errors
    /// [`UserError::EmailTaken`] when somebody here has that address.
    pub async fn invite(
        &self,
        email: &str,
        role: &str,
        made_by: Option<Uuid>,
    ) -> Result<IssuedLink, UserError> {
        let email = normalise(email);
        match Users::on(&mut self.0.clone()).by_email(&email).await {
            Ok(_) => return Err(UserError::EmailTaken),
            Err(DbError::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
        let new = NewLink {
            purpose: Purpose::Invitation,
            user_id: None,
            email: &email,
            role: Some(role),
            made_by,
        };
        Ok(self.issue(new).await?)
    }

    /// Makes the link, and ends those of the same purpose and person.
    async fn issue(&self, new: NewLink<'_>) -> Result<IssuedLink, DbError> {
        let secret = Secret::new(MARK)?;
        let now = Utc::now().trunc_subsecs(6);
        let (id, expires_at) = (Uuid::now_v7(), now + new.purpose.life());
        let mut tx = self.0.begin();
        tx.query(
            "DELETE FROM links WHERE purpose = $1 AND (email = $2 OR user_id = $3)
                OR expires_at <= $4",
        )
        .bind(new.purpose.as_str())
        .bind(new.email)
        .bind(new.user_id)
        .bind(now)
        .execute()
        .await?;
        tx.query(
            "INSERT INTO links
                (id, purpose, user_id, email, role, digest, made_by, created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(id)
        .bind(new.purpose.as_str())
        .bind(new.user_id)
        .bind(new.email)
        .bind(new.role)
        .bind(secret.digest())
        .bind(new.made_by)
        .bind(now)
        .bind(expires_at)
        .execute()
        .await?;
        tx.commit().await?;
        Ok(IssuedLink::new(
            id,
            new.email.to_owned(),
            secret,
            expires_at,
        ))
    }

    /// The invitations that are still open, the latest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn invitations(&self) -> Result<Vec<Invitation>, DbError> {
        self.0
            .query(
                "SELECT id, email, role, made_by, created_at, expires_at FROM links
                 WHERE purpose = 'invitation' AND expires_at > $1 ORDER BY id DESC",
            )
            .bind(Utc::now())
            .all()
            .await
    }

    /// Takes an invitation back.
    ///
    /// # Errors
    /// [`DbError::NotFound`] when there is no such invitation, or no longer.
    pub async fn withdraw(&self, id: Uuid) -> Result<Invitation, DbError> {
        self.0
            .query(
                "DELETE FROM links WHERE purpose = 'invitation' AND id = $1
                 RETURNING id, email, role, made_by, created_at, expires_at",
            )
            .bind(id)
            .one()
            .await
    }

    /// The address a good link was sent to, without using it up: for the page that it opens.
    ///
    /// # Errors
    /// [`LinkError::Invalid`].
    pub async fn look_at(&self, purpose: Purpose, secret: &str) -> Result<String, LinkError> {
        if prefix_of(secret, MARK).is_none() {
            return Err(LinkError::Invalid);
        }
        let found: Option<Found> = self
            .0
            .query(
                "SELECT l.user_id, l.email, l.role FROM links l LEFT JOIN users u ON u.id = l.user_id
                 WHERE l.digest = $1 AND l.purpose = $2 AND l.expires_at > $3
                    AND ((u.active AND (u.email = l.email OR l.purpose = 'change-email'))
                        OR (u.id IS NULL AND l.purpose = 'invitation'))",
            )
            .bind(digest(secret))
            .bind(purpose.as_str())
            .bind(Utc::now())
            .optional()
            .await?;
        found.map(|found| found.email).ok_or(LinkError::Invalid)
    }

    /// Sets a new password by the link for it. All that the account was signed in with ends, and
    /// the address is shown to be theirs.
    ///
    /// # Errors
    /// [`LinkError::Invalid`]; when the password cannot be taken, the link stays good.
    pub async fn set_password(
        &self,
        passwords: &Passwords,
        secret: &str,
        password: &str,
    ) -> Result<User, LinkError> {
        // before the work of hashing, and the outcome may change until it is done
        self.look_at(Purpose::ResetPassword, secret).await?;
        let hash = passwords.hash(password).await?;
        let mut tx = self.0.begin();
        let found = take(&mut tx, Purpose::ResetPassword, secret).await?;
        let id = found.user_id.ok_or(LinkError::Invalid)?;
        let user = Users::on(&mut tx)
            .change_hashed(id, UserChange::default(), Some(hash))
            .await?;
        let user = mark_verified(&mut tx, user).await?;
        tx.commit().await?;
        Ok(user)
    }

    /// Uses a link of [`verify_email`](Self::verify_email) or [`change_email`](Self::change_email),
    /// and returns the address that the account had before.
    ///
    /// # Errors
    /// [`LinkError::Invalid`]; [`UserError::EmailTaken`] when somebody else has the address by now.
    pub async fn confirm_email(&self, secret: &str) -> Result<(String, User), LinkError> {
        let mut tx = self.0.begin();
        let found = match take(&mut tx, Purpose::VerifyEmail, secret).await {
            Err(LinkError::Invalid) => take(&mut tx, Purpose::ChangeEmail, secret).await?,
            taken => taken?,
        };
        let id = found.user_id.ok_or(LinkError::Invalid)?;
        let before = Users::on(&mut tx).get(id).await?.email;
        let change = UserChange {
            email: Some(found.email),
            ..UserChange::default()
        };
        let user = Users::on(&mut tx).change_hashed(id, change, None).await?;
        let user = mark_verified(&mut tx, user).await?;
        tx.commit().await?;
        Ok((before, user))
    }

    /// Makes the account that somebody was invited to have.
    ///
    /// # Errors
    /// [`LinkError::Invalid`]; [`UserError::EmailTaken`] when somebody has the address by now. When
    /// the password cannot be taken, the link stays good.
    pub async fn accept(
        &self,
        passwords: &Passwords,
        secret: &str,
        person: NewPerson,
    ) -> Result<User, LinkError> {
        self.look_at(Purpose::Invitation, secret).await?;
        let hash = passwords.hash(&person.password).await?;
        let mut tx = self.0.begin();
        let found = take(&mut tx, Purpose::Invitation, secret).await?;
        let new = super::NewUser {
            email: found.email,
            password: String::new(),
            first_name: person.first_name,
            last_name: person.last_name,
            role: found.role.ok_or(LinkError::Invalid)?,
        };
        let user = Users::on(&mut tx).create_hashed(new, hash).await?;
        let user = mark_verified(&mut tx, user).await?;
        tx.commit().await?;
        Ok(user)
    }
}

/// Uses the link up. Of two who try at once, one does.
async fn take(
    on: &mut impl Executor<TenantScope>,
    purpose: Purpose,
    secret: &str,
) -> Result<Found, LinkError> {
    if prefix_of(secret, MARK).is_none() {
        return Err(LinkError::Invalid);
    }
    let found: Option<Found> = on
        .query(
            "DELETE FROM links WHERE digest = $1 AND purpose = $2 AND expires_at > $3
                AND (user_id IS NULL OR EXISTS
                    (SELECT 1 FROM users WHERE users.id = links.user_id AND users.active
                        AND (users.email = links.email OR links.purpose = 'change-email')))
             RETURNING user_id, email, role",
        )
        .bind(digest(secret))
        .bind(purpose.as_str())
        .bind(Utc::now())
        .optional()
        .await?;
    found.ok_or(LinkError::Invalid)
}

/// Whoever has used a link has read what was sent to the address.
async fn mark_verified(
    on: &mut impl Executor<TenantScope>,
    mut user: User,
) -> Result<User, DbError> {
    let now = Utc::now().trunc_subsecs(6);
    on.query("UPDATE users SET email_verified_at = $2 WHERE id = $1")
        .bind(user.id)
        .bind(now)
        .execute()
        .await?;
    user.email_verified_at = Some(now);
    Ok(user)
}
