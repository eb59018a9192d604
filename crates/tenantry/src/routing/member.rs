use axum::{
    extract::{FromRequestParts, OptionalFromRequestParts},
    http::request::Parts,
};

use super::{AccountSession, Problem, auth};
use crate::{
    Tenancy,
    accounts::{Account, Membership},
    tenant::Tenant,
};

/// Whoever makes the request, of the people who stand [outside of tenants](crate::accounts), by a
/// token in `Authorization: Bearer …`, or else by the browser's [session](AccountSession). On any
/// route.
///
/// As an argument it refuses those who are not signed in; as an `Option` it lets them through as
/// `None`, though a token that is shown and not good is refused all the same.
#[derive(Debug, Clone)]
pub struct CurrentAccount(pub Account);

/// A member of the request's tenant. Whoever is signed in and no member is told what a visitor of no
/// tenant is: 404 `tenant-not-found`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CurrentMember {
    /// Who.
    pub account: Account,
    /// As what.
    pub membership: Membership,
}

impl<S: Sync> OptionalFromRequestParts<S> for CurrentAccount {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Problem> {
        let Some(secret) = auth::secret_in(&parts.headers)? else {
            return match AccountSession::from_request_parts(parts, state).await {
                Ok(session) => Ok(session.account().await?.map(Self)),
                // there are none
                Err(_) => Ok(None),
            };
        };
        let tenancy = Tenancy::from_request_parts(parts, state).await?;
        let account = tenancy.accounts().authenticate(&secret).await?;
        account
            .map(|account| Some(Self(account)))
            .ok_or_else(Problem::invalid_token)
    }
}

impl<S: Sync> FromRequestParts<S> for CurrentAccount {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        <Self as OptionalFromRequestParts<S>>::from_request_parts(parts, state)
            .await?
            .ok_or_else(Problem::authentication_required)
    }
}

impl<S: Sync> FromRequestParts<S> for CurrentMember {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let CurrentAccount(account) =
            <CurrentAccount as FromRequestParts<S>>::from_request_parts(parts, state).await?;
        let tenancy = Tenancy::from_request_parts(parts, state).await?;
        let tenant = <Tenant as FromRequestParts<S>>::from_request_parts(parts, state).await?;
        let membership = tenancy.members(&tenant).of(account.id).await?;
        let membership = membership.ok_or_else(Problem::tenant_not_found)?;
        Ok(Self {
            account,
            membership,
        })
    }
}
