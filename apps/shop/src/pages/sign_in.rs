//! Signing in and out, in a browser.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use tenantry::{
    Tenancy, Tenant,
    db::TenantDb,
    routing::{BrowserSession, ClientAddress, CurrentUser, Form, Problem, Result},
    users::{Attempt, SignInError},
};

use super::{html, shop_view};
use crate::views::SignIn;

#[derive(Deserialize)]
pub(crate) struct Submitted {
    email: String,
    password: String,
    #[serde(default)]
    code: String,
}

pub(crate) async fn show(tenant: Tenant, db: TenantDb) -> Result<Response> {
    let page = SignIn {
        shop: shop_view(&tenant, &db).await?,
        email: String::new(),
        error: None,
        wants_code: false,
    };
    html(StatusCode::OK, &page)
}

pub(crate) async fn sign_in(
    tenancy: Tenancy,
    tenant: Tenant,
    db: TenantDb,
    session: BrowserSession,
    address: ClientAddress,
    Form(submitted): Form<Submitted>,
) -> Result<Response> {
    let attempt = Attempt {
        email: &submitted.email,
        password: &submitted.password,
        code: Some(submitted.code.as_str()).filter(|code| !code.is_empty()),
        address: address.0,
    };
    let refusal = match tenancy.sign_in(&tenant, attempt).await {
        Ok(who) => {
            session.sign_in(&who).await?;
            return Ok(Redirect::to("/").into_response());
        }
        Err(SignInError::Db(error)) => return Err(error.into()),
        Err(refusal) => refusal,
    };
    let wants_code = matches!(refusal, SignInError::SecondFactor);
    let problem = Problem::from(refusal);
    let error = if wants_code && submitted.code.is_empty() {
        "Type the code that your authenticator shows, or a recovery code."
    } else {
        problem.detail()
    };
    let page = SignIn {
        shop: shop_view(&tenant, &db).await?,
        email: submitted.email,
        error: Some(error.to_owned()),
        wants_code,
    };
    html(problem.status(), &page)
}

/// Also where an operator ends standing in for somebody.
pub(crate) async fn sign_out(
    current: Option<CurrentUser>,
    tenancy: Tenancy,
    tenant: Tenant,
    address: ClientAddress,
    session: BrowserSession,
) -> Result<Response> {
    if let Some(current) = &current
        && let Some(by) = &current.impersonated
    {
        tenancy
            .operators()
            .ended(&by.operator, &tenant, &current.user, address.0)
            .await?;
    }
    session.sign_out().await?;
    Ok(Redirect::to("/").into_response())
}
