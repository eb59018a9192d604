//! Signing in and out, in a browser.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use tenantry::{
    Tenancy, Tenant,
    db::TenantDb,
    routing::{CurrentUser, Form, Problem, Result, SESSION_COOKIE, Site},
    users::{SignInError, Tokens, Users},
};

use super::{html, shop_view};
use crate::views::SignIn;

#[derive(Deserialize)]
pub(crate) struct Submitted {
    email: String,
    password: String,
}

pub(crate) async fn show(tenant: Tenant, db: TenantDb) -> Result<Response> {
    let page = SignIn {
        shop: shop_view(&tenant, &db).await?,
        email: String::new(),
        error: None,
    };
    html(StatusCode::OK, &page)
}

pub(crate) async fn sign_in(
    tenancy: Tenancy,
    tenant: Tenant,
    mut db: TenantDb,
    State(site): State<Site>,
    Form(submitted): Form<Submitted>,
) -> Result<Response> {
    let signed_in = Users::on(&mut db)
        .sign_in(tenancy.passwords(), &submitted.email, &submitted.password)
        .await;
    match signed_in {
        Ok(user) => {
            let token = Tokens::on(&db).issue(user.id).await?;
            let cookie = [(
                header::SET_COOKIE,
                cookie(&site, &token.secret, 90 * 86_400),
            )];
            Ok((cookie, Redirect::to("/")).into_response())
        }
        Err(SignInError::InvalidCredentials) => {
            let page = SignIn {
                shop: shop_view(&tenant, &db).await?,
                email: submitted.email,
                error: Some(Problem::invalid_credentials().detail().into()),
            };
            html(StatusCode::UNAUTHORIZED, &page)
        }
        Err(error) => Err(error.into()),
    }
}

pub(crate) async fn sign_out(
    current: Option<CurrentUser>,
    db: TenantDb,
    State(site): State<Site>,
) -> Result<Response> {
    if let Some(current) = current {
        Tokens::on(&db).revoke(current.token_id).await?;
    }
    let cookie = [(header::SET_COOKIE, cookie(&site, "", 0))];
    Ok((cookie, Redirect::to("/")).into_response())
}

/// Without a domain: it goes to this shop's host and no other.
fn cookie(site: &Site, value: &str, max_age: u32) -> String {
    let secure = if site.is_https() { "; Secure" } else { "" };
    format!("{SESSION_COOKIE}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={max_age}{secure}")
}
