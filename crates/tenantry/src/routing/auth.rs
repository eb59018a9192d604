use axum::{
    extract::{FromRequestParts, OptionalFromRequestParts},
    http::{HeaderMap, header, request::Parts},
};

use super::Problem;
use crate::{
    db::TenantDb,
    users::{TokenUser, Tokens, User},
};

/// The cookie in which a browser carries its token. It is set without a domain, so that it goes
/// to the one tenant's host that set it.
pub const SESSION_COOKIE: &str = "session";

/// Whoever makes the request: a user of the request's own tenant, by a token in
/// `Authorization: Bearer …` (or `Token …`), or else in the session cookie.
///
/// As an argument it refuses those who are not signed in; as an `Option` it lets them through as
/// `None`, though a token that is shown and not good is refused all the same.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CurrentUser {
    /// The user.
    pub user: User,
    /// The token that said so.
    pub token_id: uuid::Uuid,
}

enum Shown {
    Nothing,
    Header(String),
    Cookie(String),
    Nonsense,
}

impl<S: Sync> FromRequestParts<S> for CurrentUser {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        <Self as OptionalFromRequestParts<S>>::from_request_parts(parts, state)
            .await?
            .ok_or_else(|| match shown(&parts.headers) {
                Shown::Cookie(_) => Problem::invalid_token(),
                _ => Problem::authentication_required(),
            })
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for CurrentUser {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Problem> {
        let (secret, in_header) = match shown(&parts.headers) {
            Shown::Nothing => return Ok(None),
            Shown::Nonsense => return Err(Problem::invalid_token()),
            Shown::Header(secret) => (secret, true),
            Shown::Cookie(secret) => (secret, false),
        };
        let db = TenantDb::from_request_parts(parts, state).await?;
        match Tokens::on(&db).authenticate(&secret).await? {
            Some(TokenUser { user, token_id }) => Ok(Some(Self { user, token_id })),
            None if in_header => Err(Problem::invalid_token()),
            // a browser goes on showing a cookie that has expired
            None => Ok(None),
        }
    }
}

fn shown(headers: &HeaderMap) -> Shown {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    if let Some(value) = values.next() {
        let secret = value
            .to_str()
            .ok()
            .and_then(|text| text.split_once(' '))
            .filter(|(scheme, _)| {
                scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token")
            });
        return match secret {
            Some((_, secret)) if values.next().is_none() => Shown::Header(secret.trim().into()),
            _ => Shown::Nonsense,
        };
    }
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == SESSION_COOKIE)
        .map_or(Shown::Nothing, |(_, secret)| Shown::Cookie(secret.into()))
}
