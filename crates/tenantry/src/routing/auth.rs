use axum::{
    extract::{FromRequestParts, OptionalFromRequestParts},
    http::{HeaderMap, header, request::Parts},
};
use tower_sessions::Session;
use uuid::Uuid;

use super::{
    BrowserSession, Problem,
    session::{self, Impersonated, Known},
};
use crate::{
    Tenancy,
    db::{DbError, TenantDb},
    operators::OperatorRole,
    policy::Permissions,
    tenant::Tenant,
    users::{ApiKey, ApiKeys, Jwts, Tokens, User, Users},
};

/// Whoever makes the request: a user of the request's own tenant, by a token or JWT in
/// `Authorization: Bearer …` (or `Token …`), or else by the browser's session.
///
/// As an argument it refuses those who are not signed in; as an `Option` it lets them through as
/// `None`, though a token that is shown and not good is refused all the same. A program's key is
/// no user: 403; see [`Caller`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CurrentUser {
    /// The user.
    pub user: User,
    /// What said so.
    pub credential: Credential,
    /// The operator who acts in the user's place, if one does.
    pub impersonated: Option<Impersonated>,
}

/// What a user was known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credential {
    /// The token of that identity.
    Token(Uuid),
    /// A JWT of that family.
    Jwt(Uuid),
    /// The browser's session of that identity.
    Session(Uuid),
}

/// Whoever makes the request, a user or a program with a key. As [`CurrentUser`] otherwise.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Caller {
    /// A user.
    User(Box<CurrentUser>),
    /// A program.
    ApiKey(Box<ApiKey>),
}

enum Shown {
    Nothing,
    Secret(String),
    Nonsense,
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        <Self as OptionalFromRequestParts<S>>::from_request_parts(parts, state)
            .await?
            .ok_or_else(Problem::authentication_required)
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Problem> {
        // a handler may name several of what is known by it
        if let Some(Found(caller)) = parts.extensions.get::<Found>() {
            return Ok(caller.clone());
        }
        let caller = Self::find(parts, state).await?;
        parts.extensions.insert(Found(caller.clone()));
        Ok(caller)
    }
}

/// Who was found to make the request.
#[derive(Clone)]
struct Found(Option<Caller>);

/// Forgets who was found to make the request, so that it is looked for again.
pub(super) async fn forget_who(parts: &mut Parts) -> Result<(), Problem> {
    parts.extensions.remove::<Found>();
    parts.extensions.remove::<Permissions>();
    match parts.extensions.get::<Session>() {
        Some(session) if session.id().is_some() => session.load().await.map_err(session::failed),
        _ => Ok(()),
    }
}

impl Caller {
    async fn find<S: Sync>(parts: &mut Parts, state: &S) -> Result<Option<Self>, Problem> {
        let secret = match shown(&parts.headers) {
            Shown::Nothing => return by_session(parts, state).await,
            Shown::Nonsense => return Err(Problem::invalid_token()),
            Shown::Secret(secret) => secret,
        };
        let db = TenantDb::from_request_parts(parts, state).await?;
        let user = |user, credential| {
            Self::User(Box::new(CurrentUser {
                user,
                credential,
                impersonated: None,
            }))
        };
        let caller = if ApiKeys::is_one(&secret) {
            let key = ApiKeys::on(&db).authenticate(&secret).await?;
            key.map(|key| Self::ApiKey(Box::new(key)))
        } else if Jwts::is_one(&secret) {
            let tenant = <Tenant as FromRequestParts<S>>::from_request_parts(parts, state).await?;
            let found = Jwts::on(&db, &tenant).authenticate(&secret).await?;
            found.map(|found| user(found.user, Credential::Jwt(found.family)))
        } else {
            let found = Tokens::on(&db).authenticate(&secret).await?;
            found.map(|found| user(found.user, Credential::Token(found.token_id)))
        };
        caller.map(Some).ok_or_else(Problem::invalid_token)
    }
}

/// A browser goes on showing a cookie whose session has ended: that is nobody, and no mistake.
async fn by_session<S: Sync>(parts: &mut Parts, state: &S) -> Result<Option<Caller>, Problem> {
    if parts.extensions.get::<Session>().is_none() {
        return Ok(None);
    }
    let session = BrowserSession::from_request_parts(parts, state).await?;
    let Some(Known {
        id,
        user_id,
        impersonation,
    }) = session.signed_in().await?
    else {
        return Ok(None);
    };
    if let Some(by) = &impersonation {
        let tenancy = Tenancy::from_request_parts(parts, state).await?;
        let operator = tenancy.operators().by_email(&by.operator).await?;
        if operator.disabled_at.is_some() || operator.role < OperatorRole::Support {
            session.sign_out().await?;
            return Ok(None);
        }
    }
    let mut db = TenantDb::from_request_parts(parts, state).await?;
    let user = match Users::on(&mut db).get(user_id).await {
        Ok(user) if user.active => user,
        Ok(_) | Err(DbError::NotFound) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    Ok(Some(Caller::User(Box::new(CurrentUser {
        user,
        credential: Credential::Session(id),
        impersonated: impersonation,
    }))))
}

impl<S: Sync> FromRequestParts<S> for CurrentUser {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        <Self as OptionalFromRequestParts<S>>::from_request_parts(parts, state)
            .await?
            .ok_or_else(Problem::authentication_required)
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for CurrentUser {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Problem> {
        match <Caller as OptionalFromRequestParts<S>>::from_request_parts(parts, state).await? {
            None => Ok(None),
            Some(Caller::User(current)) => Ok(Some(*current)),
            Some(Caller::ApiKey(_)) => Err(Problem::forbidden()),
        }
    }
}

/// What is shown as a bearer's, if anything is.
pub(super) fn secret_in(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    match shown(headers) {
        Shown::Nothing => Ok(None),
        Shown::Secret(secret) => Ok(Some(secret)),
        Shown::Nonsense => Err(Problem::invalid_token()),
    }
}

fn shown(headers: &HeaderMap) -> Shown {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Shown::Nothing;
    };
    let secret = value
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| {
            scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token")
        });
    match secret {
        Some((_, secret)) if values.next().is_none() => Shown::Secret(secret.trim().into()),
        _ => Shown::Nonsense,
    }
}
