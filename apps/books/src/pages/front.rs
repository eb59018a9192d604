//! What visitors see: the front page, and where they get an account.

use askama::Template;
use axum::{
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use tenantry::{
    Tenancy,
    routing::{AccountSession, ClientAddress, CurrentAccount, Form, Problem, Result},
};

use super::{Fields, Given, Submitted, html};
use crate::{
    api::auth::{self, NewPerson},
    validate,
};

#[derive(Template)]
#[template(path = "front.html")]
struct Front {
    email: Option<String>,
}

#[derive(Template)]
#[template(path = "register.html")]
struct Register {
    form: Submitted,
}

pub(crate) async fn show(account: Option<CurrentAccount>) -> Result<Response> {
    let email = account.map(|CurrentAccount(account)| account.email);
    html(StatusCode::OK, &Front { email })
}

pub(crate) async fn register() -> Result<Response> {
    let form = Submitted::default();
    html(StatusCode::OK, &Register { form })
}

async fn open_account_of(
    tenancy: &Tenancy,
    session: &AccountSession,
    address: ClientAddress,
    given: &Given,
) -> Result<Response> {
    let new = NewPerson {
        email: given.text("email"),
        // blanks belong to a password
        password: given.0.get("password").cloned().unwrap_or_default(),
        first_name: given.text("first_name"),
        last_name: given.text("last_name"),
    };
    validate::check(&new)?;
    let account = auth::open_account(tenancy, address, new).await?;
    let token = tenancy.accounts().issue(account.id).await?;
    let cookie = session.sign_in(&token).await?;
    Ok((cookie, Redirect::to("/companies")).into_response())
}

pub(crate) async fn open_account(
    tenancy: Tenancy,
    session: AccountSession,
    address: ClientAddress,
    Form(fields): Form<Fields>,
) -> Result<Response> {
    let given = Given::new(fields);
    let problem: Problem = match open_account_of(&tenancy, &session, address, &given).await {
        Ok(response) => return Ok(response),
        Err(problem) => problem,
    };
    let status = problem.status();
    let form = given.again(problem)?;
    html(status, &Register { form })
}
