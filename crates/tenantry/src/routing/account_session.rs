use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts},
};

use super::{Problem, dispatch::Resolved, session::Cookie};
use crate::{Tenancy, accounts::Account, users::IssuedToken};

/// The browser's session of somebody who stands [outside of tenants](crate::accounts): a token of the
/// account's in a cookie that scripts cannot read and no other host gets.
///
/// It is there in applications that said
/// [`Routes::account_sessions`](super::Routes::account_sessions). Requests that change something must
/// be refused when they come from another site's page: `tower_http`'s `CsrfLayer` does.
///
/// Under a tenant's own [domain](crate::domains) there is none: who owns that could have it lead to a
/// server of theirs, and would be sent a cookie that is good in all tenants of whoever comes. There
/// [`CurrentAccount`](super::CurrentAccount) knows people by tokens in headers alone, and as an
/// argument this refuses with 403 `not-on-this-host`.
#[derive(Debug, Clone)]
pub struct AccountSession {
    tenancy: Tenancy,
    cookie: Cookie,
    secret: Option<String>,
}

/// A header of the answer's.
type SetCookie = [(HeaderName, HeaderValue); 1];

impl AccountSession {
    /// Signs whoever has this token in: [`Accounts::sign_in`](crate::accounts::Accounts::sign_in)
    /// makes one while the password is still theirs. The answer must have the header that is
    /// returned. A session that the browser had before ends.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sign_in(&self, token: &IssuedToken) -> Result<SetCookie, Problem> {
        if let Some(before) = &self.secret {
            self.tenancy.accounts().sign_out(before).await?;
        }
        let life = token.expires_at - chrono::Utc::now();
        self.set(&token.secret, life.num_seconds())
    }

    /// Signs whoever is signed in out. The answer must have the header that is returned.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sign_out(&self) -> Result<SetCookie, Problem> {
        if let Some(secret) = &self.secret {
            self.tenancy.accounts().sign_out(secret).await?;
        }
        self.set("", 0)
    }

    pub(super) async fn account(&self) -> Result<Option<Account>, Problem> {
        match &self.secret {
            // a browser goes on showing what has ended: that is nobody, and no mistake
            Some(secret) => Ok(self.tenancy.accounts().authenticate(secret).await?),
            None => Ok(None),
        }
    }

    fn set(&self, value: &str, seconds: i64) -> Result<SetCookie, Problem> {
        let name = name(self.cookie);
        let secure = if self.cookie.is_https() {
            "; Secure"
        } else {
            ""
        };
        let cookie =
            format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}");
        let value = HeaderValue::try_from(cookie).map_err(|error| Problem::internal(&error))?;
        Ok([(header::SET_COOKIE, value)])
    }
}

fn name(cookie: Cookie) -> &'static str {
    if cookie.is_https() {
        "__Host-account"
    } else {
        "account"
    }
}

fn shown(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(own, value)| *own == name && !value.is_empty())
        .map(|(_, value)| value.to_owned())
}

impl<S: Sync> FromRequestParts<S> for AccountSession {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let resolved = Resolved::of(parts)?;
        let cookie = resolved.account_cookie.ok_or_else(Problem::failed)?;
        if resolved.resolvers.is_on_domain(parts) {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "not-on-this-host",
                "People sign in under the deployment's own host, and not under a tenant's domain.",
            ));
        }
        Ok(Self {
            tenancy: resolved.tenancy.clone(),
            cookie,
            secret: shown(&parts.headers, name(cookie)),
        })
    }
}
