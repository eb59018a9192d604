//! The people of a shop: the library's users, with the shop's rules about roles.

use axum::http::StatusCode;
use serde::Serialize;
use tenantry::{
    db::{DbError, Executor, FromRow, Row, TenantScope, Value},
    policy::{Attribute, Object},
    resources::{OrderBy, Resource},
    routing::Problem,
    users::User,
};
use uuid::Uuid;

use crate::access::OWNER;

/// A user as the API shows it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Person {
    pub(crate) id: Uuid,
    email: String,
    first_name: String,
    last_name: String,
    role: String,
    active: bool,
    created_at: chrono::DateTime<chrono::Utc>,
    email_verified: bool,
}

impl From<User> for Person {
    fn from(user: User) -> Self {
        Self {
            id: user.id,
            email: user.email,
            first_name: user.first_name,
            last_name: user.last_name,
            role: user.role,
            active: user.active,
            created_at: user.created_at,
            email_verified: user.email_verified_at.is_some(),
        }
    }
}

impl FromRow for Person {
    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        User::from_row(row).map(Into::into)
    }
}

impl Object for Person {
    type Parent = ();
    const TYPE: &'static str = "Person";
    const READ: &'static str = "readPerson";
    const ACTIONS: &'static [&'static str] = &["updatePerson", "deletePerson"];
    const ATTRIBUTES: &'static [Attribute<Self>] =
        &[Attribute::text("role", |person| Value::from(&person.role))];

    fn id(&self) -> Uuid {
        self.id
    }
}

impl Resource for Person {
    const TABLE: &'static str = "users";
    const COLUMNS: &'static str = User::COLUMNS;
    const SEARCHED: &'static [&'static str] = &["email", "first_name", "last_name"];
    const ORDERS: &'static [OrderBy<Self>] = &[
        OrderBy::text("email", |person| Value::from(&person.email)),
        OrderBy::text("first_name", |person| Value::from(&person.first_name)),
        OrderBy::text("last_name", |person| Value::from(&person.last_name)),
        OrderBy::time("created_at", |person| person.created_at.into()),
    ];
}

/// Lets no other transaction take an owner until this one has ended.
pub(crate) async fn lock_owners(on: &mut impl Executor<TenantScope>) -> Result<(), DbError> {
    on.query("UPDATE users SET role = role WHERE role = $1")
        .bind(OWNER)
        .execute()
        .await?;
    Ok(())
}

/// A shop must keep somebody who can do everything: to be asked at the end of a transaction that
/// may have taken its last owner.
pub(crate) async fn require_an_owner(on: &mut impl Executor<TenantScope>) -> Result<(), Problem> {
    let owners: i64 = on
        .query("SELECT count(*) FROM users WHERE role = $1 AND active")
        .bind(OWNER)
        .scalar()
        .await?;
    if owners == 0 {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "last-owner",
            "A shop must keep an active owner.",
        ));
    }
    Ok(())
}
