use std::net::IpAddr;

use chrono::{DateTime, SubsecRound, Utc};
use uuid::Uuid;

use super::User;
use crate::db::{DbError, Executor, FromRow, Row, TenantScope};

/// Who did something.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Actor {
    /// A user of the tenant.
    User {
        /// Their identity.
        id: Uuid,
        /// Their address at that time.
        email: String,
    },
    /// A program with a key of the tenant.
    ApiKey {
        /// The key's identity.
        id: Uuid,
        /// What it was called.
        name: String,
    },
    /// One of those who run the deployment.
    Operator(String),
    /// Somebody who is not signed in; what they called themselves.
    Stranger(String),
    /// The application itself, or its command line.
    System,
}

impl From<&User> for Actor {
    fn from(user: &User) -> Self {
        Self::User {
            id: user.id,
            email: user.email.clone(),
        }
    }
}

impl Actor {
    fn columns(&self) -> (&'static str, Option<Uuid>, &str) {
        match self {
            Self::User { id, email } => ("user", Some(*id), email),
            Self::ApiKey { id, name } => ("api-key", Some(*id), name),
            Self::Operator(email) => ("operator", None, email),
            Self::Stranger(name) => ("stranger", None, name),
            Self::System => ("system", None, ""),
        }
    }

    fn from_columns(kind: &str, id: Option<Uuid>, name: String) -> Self {
        match (kind, id) {
            ("user", Some(id)) => Self::User { id, email: name },
            ("api-key", Some(id)) => Self::ApiKey { id, name },
            ("operator", _) => Self::Operator(name),
            ("system", _) => Self::System,
            _ => Self::Stranger(name),
        }
    }

    /// The word for what it is: `user`, `api-key`, `operator`, `stranger` or `system`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.columns().0
    }

    /// The address or name by which people know it; empty for the system.
    #[must_use]
    pub fn name(&self) -> &str {
        self.columns().2
    }
}

/// Something that was done, to be written down.
///
/// ```
/// # use tenantry::{db::{DbError, TenantDb}, users::{Audit, Event, User}};
/// async fn note(mut db: TenantDb, by: &User) -> Result<(), DbError> {
///     let event = Event::new("prices-raised", by).about("all products").detail("by 5 %");
///     Audit::on(&mut db).record(event).await
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Event {
    action: &'static str,
    actor: Actor,
    subject_id: Option<Uuid>,
    subject: String,
    detail: String,
    address: Option<IpAddr>,
    operator: Option<String>,
}

impl Event {
    /// That `actor` did what the application calls `action`, such as `user-created`.
    #[must_use]
    pub fn new(action: &'static str, actor: impl Into<Actor>) -> Self {
        Self {
            action,
            actor: actor.into(),
            subject_id: None,
            subject: String::new(),
            detail: String::new(),
            address: None,
            operator: None,
        }
    }

    /// To whom or what, by name.
    #[must_use]
    pub fn about(mut self, subject: impl Into<String>) -> Self {
        self.subject = subject.into();
        self
    }

    /// To whom.
    #[must_use]
    pub fn about_user(mut self, user: &User) -> Self {
        self.subject_id = Some(user.id);
        self.about(&user.email)
    }

    /// What of it, in words.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// From where.
    #[must_use]
    pub fn from(mut self, address: Option<IpAddr>) -> Self {
        self.address = address;
        self
    }

    /// That an operator did it in the actor's place.
    #[must_use]
    pub fn by_operator(mut self, operator: Option<String>) -> Self {
        self.operator = operator;
        self
    }
}

/// Who does something and from where, for what is written down together with it. The application
/// itself, unless told.
///
/// ```
/// # use tenantry::{db::TenantDb, users::{By, Links, User, UserError}};
/// async fn ask(db: &TenantDb, ann: &User) -> Result<(), UserError> {
///     let links = Links::on(db).by(By::new(ann));
///     links.invite("bob@example.com", "staff", Some(ann.id)).await?;
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone)]
pub struct By {
    actor: Actor,
    address: Option<IpAddr>,
    operator: Option<String>,
}

impl Default for By {
    fn default() -> Self {
        Self::new(Actor::System)
    }
}

impl By {
    /// That `actor` does it.
    #[must_use]
    pub fn new(actor: impl Into<Actor>) -> Self {
        Self {
            actor: actor.into(),
            address: None,
            operator: None,
        }
    }

    /// From where.
    #[must_use]
    pub fn from(mut self, address: Option<IpAddr>) -> Self {
        self.address = address;
        self
    }

    /// That an operator does it in the actor's place.
    #[must_use]
    pub fn operator(mut self, operator: Option<String>) -> Self {
        self.operator = operator;
        self
    }

    /// That they did that: to be written down with what they did.
    #[must_use]
    pub fn did(&self, action: &'static str) -> Event {
        Event::new(action, self.actor.clone())
            .from(self.address)
            .by_operator(self.operator.clone())
    }

    /// That somebody who was unknown until then did that.
    pub(super) fn was(&self, user: &User, action: &'static str) -> Event {
        Event::new(action, user).from(self.address)
    }
}

/// Something that was done, as it was written down.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditEntry {
    /// Its identity; later ones sort after earlier ones.
    pub id: Uuid,
    /// When.
    pub at: DateTime<Utc>,
    /// What was done.
    pub action: String,
    /// By whom.
    pub actor: Actor,
    /// To whom, where it was a user.
    pub subject_id: Option<Uuid>,
    /// To whom or what, by name.
    pub subject: String,
    /// What of it, in words.
    pub detail: String,
    /// From where; empty where it is not known.
    pub address: String,
    /// The operator who acted in the actor's place.
    pub operator: Option<String>,
}

impl FromRow for AuditEntry {
    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        let kind: String = row.field(3, "actor_kind")?;
        Ok(Self {
            id: row.field(0, "id")?,
            at: row.field(1, "at")?,
            action: row.field(2, "action")?,
            actor: Actor::from_columns(&kind, row.field(4, "actor_id")?, row.field(5, "actor")?),
            subject_id: row.field(6, "subject_id")?,
            subject: row.field(7, "subject")?,
            detail: row.field(8, "detail")?,
            address: row.field(9, "address")?,
            operator: row.field(10, "operator")?,
        })
    }
}

impl AuditEntry {
    /// What [`FromRow`] reads, in its order.
    pub const COLUMNS: &str = "id, at, action, actor_kind, actor_id, actor, subject_id, subject, \
                               detail, address, operator";
}

/// What was done in one tenant: written once, in the same transaction as what it tells of when it
/// is recorded on that. Nothing that is said through a handle changes or removes an entry: the
/// database refuses it.
pub struct Audit<'e, E>(&'e mut E);

/// The most text of one field; who is not signed in may have sent any amount of it.
const LONGEST: usize = 200;

impl<'e, E: Executor<TenantScope>> Audit<'e, E> {
    /// The log that `executor` reaches.
    pub fn on(executor: &'e mut E) -> Self {
        Self(executor)
    }

    /// Writes an entry.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn record(&mut self, event: Event) -> Result<(), DbError> {
        let (kind, actor_id, actor) = event.actor.columns();
        self.0
            .query(&format!(
                "INSERT INTO audit_log ({})
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
                AuditEntry::COLUMNS
            ))
            .bind(Uuid::now_v7())
            .bind(Utc::now().trunc_subsecs(6))
            .bind(event.action)
            .bind(kind)
            .bind(actor_id)
            .bind(cut(actor))
            .bind(event.subject_id)
            .bind(cut(&event.subject))
            .bind(cut(&event.detail))
            .bind(
                event
                    .address
                    .map(|address| address.to_string())
                    .unwrap_or_default(),
            )
            .bind(event.operator)
            .execute()
            .await
            .map(drop)
    }

    /// At most `limit` entries, the latest first, beginning before the one of that identity.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(
        &mut self,
        before: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<AuditEntry>, DbError> {
        let before = before.unwrap_or(Uuid::max());
        self.0
            .query(&format!(
                "SELECT {} FROM audit_log WHERE id < $1 ORDER BY id DESC LIMIT $2",
                AuditEntry::COLUMNS
            ))
            .bind(before)
            .bind(limit)
            .all()
            .await
    }
}

/// Without what no database takes, and no longer than a field may be.
fn cut(text: &str) -> String {
    text.chars().filter(|c| *c != '\0').take(LONGEST).collect()
}
