//! Signing in and out, in a browser.

use askama::Template;
use axum::{
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use tenantry::{
    Tenancy,
    routing::{AccountSession, ClientAddress, Form, Problem, Query, Result},
    users::{Attempt, SignInError},
};

use super::html;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignIn {
    email: String,
    next: String,
    error: Option<String>,
    wants_code: bool,
}

#[derive(Deserialize)]
pub(crate) struct Credentials {
    email: String,
    password: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    next: String,
}

/// Where to go then: a path of this site's and nothing else, whatever stands in a link.
fn place(next: &str) -> &str {
    let own = next.starts_with('/') && !next.starts_with("//");
    if own && !next.contains(['\\', '\r', '\n', '\t']) {
        next
    } else {
        "/companies"
    }
}

pub(crate) async fn show(Query(asked): Query<Asked>) -> Result<Response> {
    let page = SignIn {
        email: String::new(),
        next: asked.next,
        error: None,
        wants_code: false,
    };
    html(StatusCode::OK, &page)
}

pub(crate) async fn sign_in(
    tenancy: Tenancy,
    session: AccountSession,
    address: ClientAddress,
    Form(given): Form<Credentials>,
) -> Result<Response> {
    let attempt = Attempt {
        email: &given.email,
        password: &given.password,
        code: Some(given.code.as_str()).filter(|code| !code.is_empty()),
        address: address.0,
    };
    let refusal = match tenancy.accounts().sign_in(attempt).await {
        Ok((_, token)) => {
            let cookie = session.sign_in(&token).await?;
            return Ok((cookie, Redirect::to(place(&given.next))).into_response());
        }
        Err(SignInError::Db(error)) => return Err(error.into()),
        Err(refusal) => refusal,
    };
    let wants_code = matches!(refusal, SignInError::SecondFactor);
    let problem = Problem::from(refusal);
    let error = if wants_code && given.code.is_empty() {
        "Type the code that your authenticator shows, or a recovery code."
    } else {
        problem.detail()
    };
    let page = SignIn {
        email: given.email,
        next: given.next,
        error: Some(error.to_owned()),
        wants_code,
    };
    html(problem.status(), &page)
}

pub(crate) async fn sign_out(session: AccountSession) -> Result<Response> {
    let cookie = session.sign_out().await?;
    Ok((cookie, Redirect::to("/")).into_response())
}

#[cfg(test)]
mod tests {
    #[test]
    fn nobody_is_sent_to_another_site() {
        assert_eq!(
            super::place("/c/acme/invoices?state=sent"),
            "/c/acme/invoices?state=sent"
        );
        for away in [
            "",
            "https://example.com",
            "//example.com",
            "/\\example.com",
            "x",
        ] {
            assert_eq!(super::place(away), "/companies", "{away}");
        }
    }
}
