//! What a mailed invitation opens: for people with an account, and for those without.

use askama::Template;
use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use tenantry::{
    Tenancy, Tenant,
    routing::{AccountSession, CurrentAccount, Form, Problem, Query, Result, Site},
};

use super::{Fields, Given, Submitted, encoded, html};
use crate::{
    api::members::{self, Acceptance},
    validate,
};

#[derive(Template)]
#[template(path = "invitation.html")]
struct Page {
    company: String,
    base: String,
    /// Whom it was sent to.
    email: String,
    role: String,
    link: String,
    /// Who is signed in.
    account: Option<String>,
    /// Where to sign in and come back from.
    sign_in: String,
    form: Submitted,
}

async fn page(
    status: StatusCode,
    tenancy: &Tenancy,
    tenant: &Tenant,
    site: &Site,
    link: String,
    account: Option<CurrentAccount>,
    form: Submitted,
) -> Result<Response> {
    // whoever has no invitation learns nothing, not even that there is such a company
    let invited = tenancy.members(tenant).invited(&link).await?;
    let invited = invited.ok_or_else(Problem::tenant_not_found)?;
    let base = site.path(tenant, "");
    let here = site.path(tenant, &format!("/invitation?link={link}"));
    let page = Page {
        company: tenant.name().into(),
        sign_in: format!("/sign-in?next={}", encoded(&here)),
        base,
        email: invited.email,
        role: invited.role,
        link,
        account: account.map(|CurrentAccount(account)| account.email),
        form,
    };
    html(status, &page)
}

#[derive(Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    link: String,
}

pub(crate) async fn show(
    tenancy: Tenancy,
    tenant: Tenant,
    State(site): State<Site>,
    account: Option<CurrentAccount>,
    Query(asked): Query<Asked>,
) -> Result<Response> {
    let form = Submitted::default();
    let status = StatusCode::OK;
    page(status, &tenancy, &tenant, &site, asked.link, account, form).await
}

pub(crate) async fn join(
    tenancy: Tenancy,
    tenant: Tenant,
    State(site): State<Site>,
    account: Option<CurrentAccount>,
    session: AccountSession,
    Form(fields): Form<Fields>,
) -> Result<Response> {
    let given = Given::new(fields);
    let filled = |field: &str| given.0.get(field).cloned().unwrap_or_default();
    let (link, is_new) = (given.text("link"), account.is_none());
    let acceptance = Acceptance {
        link: link.clone(),
        password: is_new.then(|| filled("password")),
        first_name: is_new.then(|| given.text("first_name")),
        last_name: is_new.then(|| given.text("last_name")),
    };
    let signed_in = account.clone().map(|CurrentAccount(account)| account);
    let joined = async {
        validate::check(&acceptance)?;
        members::join(&tenancy, &tenant, signed_in, acceptance).await
    };
    let place = site.path(&tenant, "/invoices");
    match joined.await {
        Ok(joined) if is_new => {
            let token = tenancy.accounts().issue(joined.id).await?;
            let cookie = session.sign_in(&token).await?;
            Ok((cookie, Redirect::to(&place)).into_response())
        }
        Ok(_) => Ok(Redirect::to(&place).into_response()),
        Err(problem) => {
            let status = problem.status();
            let form = given.again(problem)?;
            page(status, &tenancy, &tenant, &site, link, account, form).await
        }
    }
}
