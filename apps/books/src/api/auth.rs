//! Accounts: registering, signing in and out.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use tenantry::{
    Tenancy,
    accounts::{Account, NewAccount},
    routing::{ClientAddress, CurrentAccount, Json, Problem, Result, Site},
    users::{Attempt, IssuedToken},
};
use uuid::Uuid;

use super::companies::CompanyView;
use crate::{
    mails,
    validate::{self, Valid},
};

/// Somebody who would have an account.
#[derive(Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPerson {
    #[garde(custom(validate::email))]
    pub(crate) email: String,
    #[garde(custom(validate::password))]
    pub(crate) password: String,
    #[garde(custom(validate::line))]
    pub(crate) first_name: String,
    #[serde(default)]
    #[garde(custom(validate::optional_line))]
    pub(crate) last_name: String,
}

#[derive(Deserialize)]
pub(crate) struct Login {
    email: String,
    password: String,
    /// Of the second factor, where there is one.
    code: Option<String>,
}

#[derive(Serialize)]
struct Person {
    id: Uuid,
    email: String,
    first_name: String,
    last_name: String,
    created_at: DateTime<Utc>,
}

impl From<Account> for Person {
    fn from(account: Account) -> Self {
        Self {
            id: account.id,
            email: account.email,
            first_name: account.first_name,
            last_name: account.last_name,
            created_at: account.created_at,
        }
    }
}

#[derive(Serialize)]
struct SignedIn {
    token: String,
    expires_at: DateTime<Utc>,
    account: Person,
}

#[derive(Serialize)]
pub(crate) struct Me {
    #[serde(flatten)]
    account: Person,
    companies: Vec<CompanyView>,
}

fn signed_in(status: StatusCode, account: Account, token: IssuedToken) -> Response {
    let body = SignedIn {
        token: token.secret.to_string(),
        expires_at: token.expires_at,
        account: account.into(),
    };
    (status, Json(body)).into_response()
}

/// Makes an account, unless too many were made from that address.
pub(crate) async fn open_account(
    tenancy: &Tenancy,
    address: ClientAddress,
    new: NewPerson,
) -> Result<Account> {
    let permitted = tenancy.accounts().may_register(address.0);
    permitted.map_err(Problem::too_many_requests)?;
    let new = NewAccount {
        email: new.email,
        password: new.password,
        first_name: new.first_name.trim().into(),
        last_name: new.last_name.trim().into(),
    };
    Ok(tenancy.accounts().create(new).await?)
}

pub(crate) async fn register(
    tenancy: Tenancy,
    address: ClientAddress,
    Valid(new): Valid<NewPerson>,
) -> Result<Response> {
    let account = open_account(&tenancy, address, new).await?;
    let token = tenancy.accounts().issue(account.id).await?;
    Ok(signed_in(StatusCode::CREATED, account, token))
}

pub(crate) async fn login(
    tenancy: Tenancy,
    address: ClientAddress,
    Json(login): Json<Login>,
) -> Result<Response> {
    let attempt = Attempt {
        email: &login.email,
        password: &login.password,
        code: login.code.as_deref(),
        address: address.0,
    };
    let (account, token) = tenancy.accounts().sign_in(attempt).await?;
    Ok(signed_in(StatusCode::OK, account, token))
}

/// Ends the token that is shown.
pub(crate) async fn logout(
    tenancy: Tenancy,
    _: CurrentAccount,
    headers: HeaderMap,
) -> Result<StatusCode> {
    let shown = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '));
    // whoever came with a browser's session ends that on the page
    let (_, secret) = shown.ok_or_else(Problem::authentication_required)?;
    tenancy.accounts().sign_out(secret.trim()).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn me(
    tenancy: Tenancy,
    CurrentAccount(account): CurrentAccount,
    State(site): State<Site>,
) -> Result<Json<Me>> {
    let companies = super::companies::of(&tenancy, &site, account.id).await?;
    Ok(Json(Me {
        account: account.into(),
        companies,
    }))
}

/// Whose password is forgotten.
#[derive(Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct Forgotten {
    #[garde(custom(validate::email))]
    pub(crate) email: String,
}

/// Mails a link for a new password, if there is anybody of that address. Nothing tells which.
pub(crate) async fn ask_for_password(
    tenancy: &Tenancy,
    site: &Site,
    address: ClientAddress,
    forgotten: &Forgotten,
) -> Result<()> {
    let accounts = tenancy.accounts();
    accounts
        .may_mail(&forgotten.email, address.0)
        .map_err(Problem::too_many_requests)?;
    if let Some(link) = accounts.reset_password(&forgotten.email).await? {
        mails::new_password(tenancy, site, link);
    }
    Ok(())
}

pub(crate) async fn forgot(
    tenancy: Tenancy,
    address: ClientAddress,
    State(site): State<Site>,
    Valid(forgotten): Valid<Forgotten>,
) -> Result<StatusCode> {
    ask_for_password(&tenancy, &site, address, &forgotten).await?;
    Ok(StatusCode::ACCEPTED)
}

#[derive(Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reset {
    #[garde(skip)]
    pub(crate) link: String,
    #[garde(custom(validate::password))]
    pub(crate) password: String,
}

pub(crate) async fn reset(tenancy: Tenancy, Valid(reset): Valid<Reset>) -> Result<StatusCode> {
    let accounts = tenancy.accounts();
    accounts
        .set_password_by_link(&reset.link, &reset.password)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
