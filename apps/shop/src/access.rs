//! Who may: a handler that needs a permission names it as an argument, and cannot be called
//! without.

use axum::{
    extract::FromRequestParts,
    http::request::Parts,
    response::{IntoResponse, Redirect, Response},
};
use tenantry::{
    routing::{CurrentUser, Problem},
    users::User,
};

pub(crate) const OWNER: &str = "owner";
pub(crate) const ADMIN: &str = "admin";
pub(crate) const STAFF: &str = "staff";

/// Anybody who works at the shop: may change its products.
pub(crate) struct Staff(pub(crate) User);

/// Owners and admins: may change the shop and its users.
pub(crate) struct Manager(pub(crate) User);

/// As [`Staff`], for pages: who is not signed in is sent to where one does.
pub(crate) struct Editor(pub(crate) User);

async fn with_role<S: Sync>(parts: &mut Parts, state: &S, roles: &[&str]) -> Result<User, Problem> {
    let current = <CurrentUser as FromRequestParts<S>>::from_request_parts(parts, state).await?;
    if roles.contains(&current.user.role.as_str()) {
        Ok(current.user)
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
        with_role(parts, state, &[OWNER, ADMIN, STAFF])
            .await
            .map(Self)
    }
}

impl<S: Sync> FromRequestParts<S> for Manager {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        with_role(parts, state, &[OWNER, ADMIN]).await.map(Self)
    }
}

impl<S: Sync> FromRequestParts<S> for Editor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        match with_role(parts, state, &[OWNER, ADMIN, STAFF]).await {
            Ok(user) => Ok(Self(user)),
            Err(problem) if problem.status() == axum::http::StatusCode::UNAUTHORIZED => {
                Err(Redirect::to("/sign-in").into_response())
            }
            Err(problem) => Err(problem.into_response()),
        }
    }
}
