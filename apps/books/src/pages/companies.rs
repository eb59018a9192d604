//! Somebody's companies: switching between them, and new ones.

use askama::Template;
use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use tenantry::{
    Tenancy,
    accounts::Account,
    routing::{CurrentAccount, Form, Result, Site},
};

use super::{Fields, Frame, Given, Submitted, html};
use crate::api::companies::{self, CompanyView, NewCompany};

#[derive(Template)]
#[template(path = "companies.html")]
struct Companies {
    email: String,
    first_name: String,
    companies: Vec<CompanyView>,
    /// What the addresses of companies begin with.
    prefix: String,
    form: Submitted,
}

async fn page(
    status: StatusCode,
    tenancy: &Tenancy,
    site: &Site,
    account: Account,
    form: Submitted,
) -> Result<Response> {
    let page = Companies {
        companies: companies::of(tenancy, site, account.id).await?,
        prefix: site.around_code().0,
        email: account.email,
        first_name: account.first_name,
        form,
    };
    html(status, &page)
}

pub(crate) async fn list(
    tenancy: Tenancy,
    State(site): State<Site>,
    CurrentAccount(account): CurrentAccount,
) -> Result<Response> {
    let form = Submitted::default();
    page(StatusCode::OK, &tenancy, &site, account, form).await
}

pub(crate) async fn create(
    tenancy: Tenancy,
    State(site): State<Site>,
    CurrentAccount(account): CurrentAccount,
    Form(fields): Form<Fields>,
) -> Result<Response> {
    let given = Given::new(fields);
    let new = NewCompany {
        // people write names as they please; the address has one spelling
        code: given.text("code").to_lowercase(),
        name: given.text("name"),
    };
    match companies::found(&tenancy, new, account.id).await {
        Ok(tenant) => {
            let place = site.path(&tenant, "/invoices");
            Ok(Redirect::to(&place).into_response())
        }
        Err(problem) => {
            let status = problem.status();
            let form = given.again(problem)?;
            page(status, &tenancy, &site, account, form).await
        }
    }
}

/// A company's front page is what it is there for.
pub(crate) async fn home(frame: Frame) -> Response {
    frame.to("/invoices")
}
