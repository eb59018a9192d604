use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use futures_util::{FutureExt, future::BoxFuture};
use uuid::Uuid;

use super::{
    Audit, By, PasswordError, Passwords, User, UserChange, UserError, Users, account::normalise,
    mailed::Mailed, secret::Secret,
};
use crate::db::{DbError, Executor, FromRow, Row, TenantDb, TenantScope, TenantTx};

const MAILED: Mailed = Mailed {
    links: "links",
    mark: "tnl_",
};

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
    pub(crate) fn as_str(self) -> &'static str {
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
/// simply unknown to it. Using a link, what it is used for and the log's entry of it are one
/// transaction.
#[derive(Debug)]
pub struct Links<'d> {
    db: &'d TenantDb,
    by: By,
}

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

impl<'d> Links<'d> {
    /// The links of `db`'s tenant.
    #[must_use]
    pub fn on(db: &'d TenantDb) -> Self {
        Self {
            db,
            by: By::default(),
        }
    }

    /// What is written down of them was done by these. Whoever uses a link is known by that.
    #[must_use]
    pub fn by(mut self, by: By) -> Self {
        self.by = by;
        self
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
            .db
            .query(&format!(
                "SELECT {} FROM users WHERE email = $1 AND active",
                User::COLUMNS
            ))
            .bind(&email)
            .optional()
            .await?;
        let whose = user.as_ref().map(|user| user.id);
        let issued = self.issue(Purpose::ResetPassword, whose, &email).await?;
        Ok(user.map(|_| issued))
    }

    /// A link by which a user shows that the address is theirs.
    ///
    /// # Errors
    /// [`DbError::NotFound`] when there is no such user.
    pub async fn verify_email(&self, user_id: Uuid) -> Result<IssuedLink, DbError> {
        let user = Users::on(&mut self.db.clone()).get(user_id).await?;
        self.issue(Purpose::VerifyEmail, Some(user_id), &user.email)
            .await
    }

    /// A link that makes `email` the user's address, to be mailed there. Whether the address is
    /// taken comes out when the link is used, so that nobody finds out who has an account.
    ///
    /// # Errors
    /// [`DbError::ForeignKey`] when there is no such user.
    pub async fn change_email(&self, user_id: Uuid, email: &str) -> Result<IssuedLink, DbError> {
        self.issue(Purpose::ChangeEmail, Some(user_id), &normalise(email))
            .await
    }

    /// Asks somebody to join, which is written down as `invited`. An earlier invitation of the same
    /// address ends.
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
        match Users::on(&mut self.db.clone()).by_email(&email).await {
            Ok(_) => return Err(UserError::EmailTaken),
            Err(DbError::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
        let mut tx = self.db.begin();
        let link = MAILED
            .issue::<_, User>(&mut tx, Purpose::Invitation, None, &email)
            .await?;
        tx.query("UPDATE links SET role = $2, made_by = $3 WHERE id = $1")
            .bind(link.id)
            .bind(role)
            .bind(made_by)
            .execute()
            .await?;
        let event = self.by.did("invited").about(&email).detail(role);
        Audit::on(&mut tx).record(event).await?;
        tx.commit().await?;
        Ok(link)
    }

    async fn issue(
        &self,
        purpose: Purpose,
        user_id: Option<Uuid>,
        email: &str,
    ) -> Result<IssuedLink, DbError> {
        let mut tx = self.db.begin();
        let link = MAILED
            .issue::<_, User>(&mut tx, purpose, user_id, email)
            .await?;
        tx.commit().await?;
        Ok(link)
    }

    /// The invitations that are still open, the latest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn invitations(&self) -> Result<Vec<Invitation>, DbError> {
        self.db
            .query(
                "SELECT id, email, role, made_by, created_at, expires_at FROM links
                 WHERE purpose = 'invitation' AND expires_at > $1 ORDER BY id DESC",
            )
            .bind(Utc::now())
            .all()
            .await
    }

    /// Takes an invitation back, which is written down as `invitation-withdrawn`.
    ///
    /// # Errors
    /// [`DbError::NotFound`] when there is no such invitation, or no longer.
    pub async fn withdraw(&self, id: Uuid) -> Result<Invitation, DbError> {
        let mut tx = self.db.begin();
        let gone: Invitation = tx
            .query(
                "DELETE FROM links WHERE purpose = 'invitation' AND id = $1
                 RETURNING id, email, role, made_by, created_at, expires_at",
            )
            .bind(id)
            .one()
            .await?;
        let event = self.by.did("invitation-withdrawn").about(&gone.email);
        Audit::on(&mut tx).record(event).await?;
        tx.commit().await?;
        Ok(gone)
    }

    /// The address a good link was sent to, without using it up: for the page that it opens.
    ///
    /// # Errors
    /// [`LinkError::Invalid`].
    pub async fn look_at(&self, purpose: Purpose, secret: &str) -> Result<String, LinkError> {
        MAILED
            .look_at::<_, User>(&mut self.db.clone(), purpose, secret)
            .await?
            .ok_or(LinkError::Invalid)
    }

    /// Sets a new password by the link for it. All that the account was signed in with ends, and
    /// the address is shown to be theirs. It is written down as `password-reset`.
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
        let mut tx = self.db.begin();
        let found = take(&mut tx, Purpose::ResetPassword, secret).await?;
        let id = found.user_id.ok_or(LinkError::Invalid)?;
        let user = Users::on(&mut tx)
            .change_hashed(id, UserChange::default(), Some(hash))
            .await?;
        let user = mark_verified(&mut tx, user).await?;
        Audit::on(&mut tx)
            .record(self.by.was(&user, "password-reset"))
            .await?;
        tx.commit().await?;
        Ok(user)
    }

    /// Uses a link of [`verify_email`](Self::verify_email) or [`change_email`](Self::change_email),
    /// and returns the address that the account had before. It is written down as
    /// `email-confirmed`.
    ///
    /// # Errors
    /// [`LinkError::Invalid`]; [`UserError::EmailTaken`] when somebody else has the address by now.
    pub async fn confirm_email(&self, secret: &str) -> Result<(String, User), LinkError> {
        let mut tx = self.db.begin();
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
        let event = self.by.was(&user, "email-confirmed").detail(&before);
        Audit::on(&mut tx).record(event).await?;
        tx.commit().await?;
        Ok((before, user))
    }

    /// Makes the account that somebody was invited to have, which is written down as `joined`.
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
        self.accept_if(passwords, secret, person, |_| async { Ok(()) }.boxed())
            .await
    }

    /// As [`accept`](Self::accept), where `permitted` says so: it is asked in the transaction in which
    /// the account was made, before that ends. So it can count how many there are, with what lets one
    /// such transaction wait for the other.
    ///
    /// # Errors
    /// As [`accept`](Self::accept), and what `permitted` says. The link stays good then.
    pub async fn accept_if<E: From<LinkError>>(
        &self,
        passwords: &Passwords,
        secret: &str,
        person: NewPerson,
        permitted: impl for<'t> FnOnce(&'t mut TenantTx) -> BoxFuture<'t, Result<(), E>> + Send,
    ) -> Result<User, E> {
        self.look_at(Purpose::Invitation, secret).await?;
        let hash = passwords.hash(&person.password).await;
        let hash = hash.map_err(LinkError::from)?;
        let mut tx = self.db.begin();
        let user = self.join(&mut tx, secret, person, hash).await?;
        permitted(&mut tx).await?;
        tx.commit().await.map_err(LinkError::from)?;
        Ok(user)
    }

    async fn join(
        &self,
        tx: &mut TenantTx,
        secret: &str,
        person: NewPerson,
        hash: String,
    ) -> Result<User, LinkError> {
        let found = take(tx, Purpose::Invitation, secret).await?;
        let new = super::NewUser {
            email: found.email,
            password: String::new(),
            first_name: person.first_name,
            last_name: person.last_name,
            role: found.role.ok_or(LinkError::Invalid)?,
        };
        let user = Users::on(tx).create_hashed(new, hash).await?;
        let user = mark_verified(tx, user).await?;
        let event = self.by.was(&user, "joined").detail(&user.role);
        Audit::on(tx).record(event).await?;
        Ok(user)
    }
}

/// Uses the link up. Of two who try at once, one does.
async fn take(
    on: &mut impl Executor<TenantScope>,
    purpose: Purpose,
    secret: &str,
) -> Result<Found, LinkError> {
    MAILED
        .take::<_, User, Found>(on, purpose, secret, "user_id, email, role")
        .await?
        .ok_or(LinkError::Invalid)
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
