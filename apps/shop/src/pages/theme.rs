//! What pages in a shop's theme fetch: its colours, its style sheet, its logo.

use axum::{
    http::{HeaderMap, HeaderName, header},
    response::{IntoResponse, Response},
};
use tenantry::{
    Tenant,
    routing::{Problem, Result, files},
    scoped::{files::Files, settings::TenantSettings},
};

use crate::{
    models::theme::Theme,
    pictures,
    themes::{self, Worn},
};

/// Kept by the reader alone: another tenant may be at the same URL, by a header. Pages name the version.
const CACHED: (HeaderName, &str) = (header::CACHE_CONTROL, "private, max-age=300");

pub(crate) async fn colours(tenant: Tenant, settings: TenantSettings) -> Result<Response> {
    sheet(&tenant, &settings, Theme::colours).await
}

pub(crate) async fn style(tenant: Tenant, settings: TenantSettings) -> Result<Response> {
    let style = |theme: &Theme| theme.style.clone().unwrap_or_default();
    sheet(&tenant, &settings, style).await
}

async fn sheet(
    tenant: &Tenant,
    settings: &TenantSettings,
    css: impl Fn(&Theme) -> String,
) -> Result<Response> {
    let worn = themes::worn(tenant, settings).await?;
    let css = worn
        .as_deref()
        .map(Worn::theme)
        .map(css)
        .unwrap_or_default();
    let kind = (header::CONTENT_TYPE, "text/css; charset=utf-8");
    Ok(([kind, CACHED], css).into_response())
}

pub(crate) async fn logo(
    tenant: Tenant,
    settings: TenantSettings,
    files: Files,
    headers: HeaderMap,
) -> Result<Response> {
    let worn = themes::worn(&tenant, &settings).await?;
    let logo = worn.and_then(|worn| worn.theme().logo);
    let name = pictures::logo(logo.ok_or_else(Problem::not_found)?)?;
    files::answer(&files, &name, &headers).await
}
