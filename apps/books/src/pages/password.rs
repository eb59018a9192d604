//! A new password for whoever has forgotten theirs, by a link that is mailed.

use askama::Template;
use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use tenantry::{
    Tenancy,
    routing::{AccountSession, ClientAddress, Form, Problem, Query, Result, Site},
    users::Purpose,
};

use super::{Fields, Given, Submitted, html};
use crate::{
    api::auth::{self, Forgotten, Reset},
    validate,
};

#[derive(Template)]
#[template(path = "forgotten.html")]
struct Ask {
    form: Submitted,
    /// Whether a link is on its way, if there is anybody of that address.
    is_done: bool,
    /// Whether a link was shown that is not good.
    is_over: bool,
}

#[derive(Template)]
#[template(path = "new_password.html")]
struct Set {
    email: String,
    link: String,
    form: Submitted,
}

pub(crate) async fn ask() -> Result<Response> {
    let page = Ask {
        form: Submitted::default(),
        is_done: false,
        is_over: false,
    };
    html(StatusCode::OK, &page)
}

pub(crate) async fn mail(
    tenancy: Tenancy,
    address: ClientAddress,
    State(site): State<Site>,
    Form(fields): Form<Fields>,
) -> Result<Response> {
    let given = Given::new(fields);
    let forgotten = Forgotten {
        email: given.text("email"),
    };
    let asked = async {
        validate::check(&forgotten)?;
        auth::ask_for_password(&tenancy, &site, address, &forgotten).await
    };
    let (status, form, is_done) = match asked.await {
        Ok(()) => (StatusCode::ACCEPTED, Submitted::default(), true),
        Err(problem) => (problem.status(), given.again(problem)?, false),
    };
    let page = Ask {
        form,
        is_done,
        is_over: false,
    };
    html(status, &page)
}

/// The page that a link opens, or that it is of no use.
async fn page(
    status: StatusCode,
    tenancy: &Tenancy,
    link: String,
    form: Submitted,
) -> Result<Response> {
    let accounts = tenancy.accounts();
    let looked = accounts.look_at(Purpose::ResetPassword, &link).await;
    match looked.map_err(Problem::from) {
        Ok(email) => html(status, &Set { email, link, form }),
        Err(problem) if problem.slug() == "invalid-token" => {
            let page = Ask {
                form: Submitted::default(),
                is_done: false,
                is_over: true,
            };
            html(problem.status(), &page)
        }
        Err(problem) => Err(problem),
    }
}

#[derive(Deserialize)]
pub(crate) struct Shown {
    #[serde(default)]
    link: String,
}

pub(crate) async fn show(tenancy: Tenancy, Query(shown): Query<Shown>) -> Result<Response> {
    page(StatusCode::OK, &tenancy, shown.link, Submitted::default()).await
}

pub(crate) async fn set(
    tenancy: Tenancy,
    session: AccountSession,
    Form(fields): Form<Fields>,
) -> Result<Response> {
    let given = Given::new(fields);
    let reset = Reset {
        link: given.text("link"),
        // blanks belong to a password
        password: given.0.get("password").cloned().unwrap_or_default(),
    };
    let set = async {
        validate::check(&reset)?;
        let accounts = tenancy.accounts();
        accounts
            .set_password_by_link(&reset.link, &reset.password)
            .await
            .map_err(Problem::from)
    };
    match set.await {
        // whoever has a second factor needs it to sign in
        Ok(_) => Ok((session.sign_out().await?, Redirect::to("/sign-in")).into_response()),
        Err(problem) if problem.slug() == "invalid-token" => {
            page(problem.status(), &tenancy, reset.link, Submitted::default()).await
        }
        Err(problem) => {
            let status = problem.status();
            let form = given.again(problem)?;
            page(status, &tenancy, reset.link, form).await
        }
    }
}
