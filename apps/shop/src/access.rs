//! Who may: a handler that needs a permission names it as an argument, and cannot be called
//! without.

use axum::{
    extract::FromRequestParts,
    http::request::Parts,
    response::{IntoResponse, Redirect, Response},
};
use tenantry::{
    db::{DbError, Executor, TenantScope},
    routing::{Caller, ClientAddress, CurrentUser, Problem},
    users::{Audit, By, Event, User},
};

pub(crate) const OWNER: &str = "owner";
pub(crate) const ADMIN: &str = "admin";
pub(crate) const STAFF: &str = "staff";

const WRITE_PRODUCTS: &str = "products:write";
const READ_USERS: &str = "users:read";

/// What a program's key may be for.
pub(crate) const SCOPES: &[&str] = &[WRITE_PRODUCTS, READ_USERS];

/// Anybody who works at the shop, or a key for it: may change its products. Whose they are, where it
/// is somebody.
pub(crate) struct Staff(pub(crate) Option<Box<CurrentUser>>);

/// Anybody who is signed in, or a key for it: may see who works there.
pub(crate) struct Colleague;

/// Owners and admins: may change the shop and its users, and see what was done.
pub(crate) struct Managing(pub(crate) CurrentUser);

/// As [`Staff`], for pages: who is not signed in is sent to where one does.
pub(crate) struct Editor(pub(crate) CurrentUser);

/// Notes that an operator did it, where one stands in for the user.
pub(crate) fn acting(event: Event, current: &CurrentUser) -> Event {
    let operator = current.impersonated.as_ref();
    event.by_operator(operator.map(|by| by.operator.clone()))
}

/// Who acts, for what is written down of it.
pub(crate) fn by(current: &CurrentUser, address: ClientAddress) -> By {
    let operator = current.impersonated.as_ref();
    By::new(&current.user)
        .from(address.0)
        .operator(operator.map(|by| by.operator.clone()))
}

/// Writes down what an operator does in a user's place, of the things that are not written down
/// when people do them themselves.
pub(crate) async fn record_stand_in(
    on: &mut impl Executor<TenantScope>,
    current: Option<&CurrentUser>,
    action: &'static str,
    what: &str,
    address: ClientAddress,
) -> Result<(), DbError> {
    let Some(current) = current.filter(|current| current.impersonated.is_some()) else {
        return Ok(());
    };
    let event = acting(Event::new(action, &current.user), current);
    Audit::on(on)
        .record(event.about(what).from(address.0))
        .await
}

/// Refuses an operator who stands in for the user what would outlast that: accounts, passwords,
/// keys.
pub(crate) fn in_person(current: &CurrentUser) -> Result<(), Problem> {
    match current.impersonated {
        Some(_) => Err(Problem::forbidden()),
        None => Ok(()),
    }
}

async fn with_role<S: Sync>(
    parts: &mut Parts,
    state: &S,
    roles: &[&str],
) -> Result<CurrentUser, Problem> {
    let current = <CurrentUser as FromRequestParts<S>>::from_request_parts(parts, state).await?;
    if roles.contains(&current.user.role.as_str()) {
        Ok(current)
    } else {
        Err(Problem::forbidden())
    }
}

pub(crate) fn is_staff(user: &User) -> bool {
    [OWNER, ADMIN, STAFF].contains(&user.role.as_str())
}

impl<S: Sync> FromRequestParts<S> for Staff {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match <Caller as FromRequestParts<S>>::from_request_parts(parts, state).await? {
            Caller::User(current) if is_staff(&current.user) => Ok(Self(Some(current))),
            Caller::ApiKey(key) if key.has_scope(WRITE_PRODUCTS) => Ok(Self(None)),
            _ => Err(Problem::forbidden()),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Colleague {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match <Caller as FromRequestParts<S>>::from_request_parts(parts, state).await? {
            Caller::User(_) => Ok(Self),
            Caller::ApiKey(key) if key.has_scope(READ_USERS) => Ok(Self),
            _ => Err(Problem::forbidden()),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Managing {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        with_role(parts, state, &[OWNER, ADMIN]).await.map(Self)
    }
}

impl<S: Sync> FromRequestParts<S> for Editor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        match with_role(parts, state, &[OWNER, ADMIN, STAFF]).await {
            Ok(current) => Ok(Self(current)),
            Err(problem) if problem.status() == axum::http::StatusCode::UNAUTHORIZED => {
                Err(Redirect::to("/sign-in").into_response())
            }
            Err(problem) => Err(problem.into_response()),
        }
    }
}
