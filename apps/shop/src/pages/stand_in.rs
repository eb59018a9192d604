//! Where an operator becomes a user of the shop, for a while.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use tenantry::{
    Tenancy, Tenant,
    db::TenantDb,
    routing::{BrowserSession, ClientAddress, Form, Problem, Query, Result},
};

use super::{html, shop_view};
use crate::views::{Step, StepForm};

#[derive(Deserialize)]
pub(crate) struct Link {
    #[serde(default)]
    link: String,
}

/// Opening the link uses nothing up: programs that look at links do that, too.
pub(crate) async fn show(
    tenant: Tenant,
    db: TenantDb,
    Query(Link { link }): Query<Link>,
) -> Result<Response> {
    let page = Step {
        shop: shop_view(&tenant, &db).await?,
        title: "Stand in for a user".into(),
        lede:
            "For half an hour you see and do what they can. That you do is written down, and they \
               can read why."
                .into(),
        form: Some(StepForm {
            action: "/impersonate",
            link: Some(link),
            button: "Stand in",
            ..StepForm::default()
        }),
    };
    html(StatusCode::OK, &page)
}

pub(crate) async fn begin(
    tenancy: Tenancy,
    tenant: Tenant,
    session: BrowserSession,
    address: ClientAddress,
    Form(Link { link }): Form<Link>,
) -> Result<Response> {
    let impersonation = tenancy
        .operators()
        .redeem(&tenant, &link, address.0)
        .await?
        .ok_or_else(Problem::invalid_token)?;
    session.impersonate(&impersonation).await?;
    Ok(Redirect::to("/").into_response())
}
