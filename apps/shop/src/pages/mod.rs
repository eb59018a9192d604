//! The pages that people see: rendered here. None needs a script; one brings lists up to date.

pub(crate) mod assets;
pub(crate) mod dev_mail;
pub(crate) mod landing;
pub(crate) mod links;
pub(crate) mod product;
pub(crate) mod products;
pub(crate) mod settings;
pub(crate) mod sign_in;
pub(crate) mod stand_in;
pub(crate) mod storefront;
pub(crate) mod theme;

use askama::Template;
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use tenantry::{
    Tenant,
    db::TenantDb,
    policy::Permissions,
    routing::{self, Action, CurrentUser, Result},
};

use crate::{
    access::{ChangeShop, CreateProduct},
    models::profile::Profile,
    views::{self, FieldErrors, Look, ShopView, Viewer},
};

/// Nothing but our own style, pictures and forms.
const CONTENT_SECURITY_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; \
     base-uri 'none'; frame-ancestors 'none'",
);

/// The same, and the script that brings a page up to date.
const LIVE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; \
     base-uri 'none'; frame-ancestors 'none'; script-src 'self'; connect-src 'self'",
);

/// A page that brings itself up to date.
pub(crate) fn live_html(status: StatusCode, template: &impl Template) -> Result<Response> {
    html_under(status, template, LIVE_POLICY)
}

pub(crate) fn html(status: StatusCode, template: &impl Template) -> Result<Response> {
    html_under(status, template, CONTENT_SECURITY_POLICY)
}

fn html_under(
    status: StatusCode,
    template: &impl Template,
    policy: HeaderValue,
) -> Result<Response> {
    let text = template
        .render()
        .map_err(|error| routing::Problem::internal(&error))?;
    let policy = [(header::CONTENT_SECURITY_POLICY, policy)];
    Ok((status, policy, Html(text)).into_response())
}

/// A problem as a page, for whoever asks for HTML.
pub(crate) fn problem(problem: &routing::Problem) -> Response {
    let view = views::Problem {
        title: problem.title().into(),
        detail: problem.detail().into(),
        status: problem.status().as_u16(),
        // where there is no tenant, its home is no place to go
        home: !problem.slug().starts_with("tenant-"),
    };
    html(problem.status(), &view).unwrap_or_else(|_| problem.status().into_response())
}

async fn shop_view(tenant: &Tenant, db: &TenantDb) -> Result<ShopView> {
    let profile = Profile::read(db).await?;
    Ok(ShopView {
        name: tenant.name().into(),
        tagline: profile.tagline,
        currency: profile.currency,
        look: Look::default(),
    })
}

fn viewer(current: &CurrentUser, permissions: &Permissions) -> Viewer {
    Viewer {
        name: current.user.first_name.clone(),
        role: current.user.role.clone(),
        can_edit: permissions.require(CreateProduct::NAME, &[]).is_ok(),
        can_manage: permissions.require(ChangeShop::NAME, &[]).is_ok(),
        operator: current.impersonated.as_ref().map(|by| by.operator.clone()),
    }
}

/// What is to be shown beside a form's fields, unless the problem is another than the form's.
fn form_errors(problem: &routing::Problem, taken: &str) -> Option<FieldErrors> {
    match problem.slug() {
        "invalid" => Some(
            problem
                .errors()
                .iter()
                .map(|(field, messages)| {
                    (
                        field
                            .trim_start_matches("owner.")
                            .trim_start_matches("profile.")
                            .to_owned(),
                        messages.clone(),
                    )
                })
                .collect::<std::collections::BTreeMap<_, _>>()
                .into(),
        ),
        "code-taken" => Some(
            std::collections::BTreeMap::from([("code".to_owned(), vec![taken.to_owned()])]).into(),
        ),
        _ => None,
    }
}
