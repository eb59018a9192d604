//! The shop's theme. As a group of settings it can be changed field by field, too; its logo is uploaded
//! here.

use std::sync::Mutex;

use axum::{
    body::{Body, Bytes},
    http::StatusCode,
};
use futures_util::Stream;
use serde::Serialize;
use serde_json::Value;
use tenantry::{
    db::TenantDb,
    routing::{Can, ClientAddress, CurrentUser, Json, Problem, Result},
    scoped::{
        files::Files,
        settings::{Fields, Settings, SettingsError, TenantSettings},
    },
};
use uuid::Uuid;

use super::settings::{find, record};
use crate::{
    access::{ChangeShop, in_person},
    models::theme::{Fault, Theme},
    pictures, themes,
};

/// What is changed together. The logo is by itself.
pub(crate) const FIELDS: [&str; 7] = [
    "accent", "ground", "ink", "style", "layout", "front", "product",
];

#[derive(Serialize)]
pub(crate) struct ThemeShown {
    fields: Fields,
    /// Why it is not used at all, where it is not.
    error: Option<String>,
    /// Why it was not used on some page.
    fault: Option<Fault>,
}

async fn shown(settings: &TenantSettings, db: &TenantDb) -> Result<Json<ThemeShown>> {
    let group = find(settings, Theme::NAME).await?;
    let fault = themes::fault(settings, db).await?;
    Ok(Json(ThemeShown {
        fields: group.fields,
        error: group.error,
        fault,
    }))
}

pub(crate) async fn show(
    _: Can<ChangeShop>,
    settings: TenantSettings,
    db: TenantDb,
) -> Result<Json<ThemeShown>> {
    shown(&settings, &db).await
}

/// Puts a theme in the place of what there is, but for the logo.
pub(crate) async fn replace(
    _: Can<ChangeShop>,
    current: CurrentUser,
    settings: TenantSettings,
    mut db: TenantDb,
    address: ClientAddress,
    Json(mut theme): Json<Fields>,
) -> Result<Json<ThemeShown>> {
    in_person(&current)?;
    theme.remove("logo");
    for field in FIELDS {
        theme.entry(field).or_insert(Value::Null);
    }
    settings.patch(Theme::NAME, theme).await?;
    record(&mut db, &current, address, Theme::NAME).await?;
    shown(&settings, &db).await
}

/// Takes it away, with its logo.
pub(crate) async fn remove(
    _: Can<ChangeShop>,
    current: CurrentUser,
    settings: TenantSettings,
    files: Files,
    mut db: TenantDb,
    address: ClientAddress,
) -> Result<StatusCode> {
    in_person(&current)?;
    reset(&settings, &files).await?;
    record(&mut db, &current, address, Theme::NAME).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn put_logo(
    _: Can<ChangeShop>,
    current: CurrentUser,
    settings: TenantSettings,
    files: Files,
    mut db: TenantDb,
    address: ClientAddress,
    body: Body,
) -> Result<Json<ThemeShown>> {
    in_person(&current)?;
    set_logo(&settings, files, body.into_data_stream()).await?;
    record(&mut db, &current, address, "theme: logo").await?;
    shown(&settings, &db).await
}

pub(crate) async fn delete_logo(
    _: Can<ChangeShop>,
    current: CurrentUser,
    settings: TenantSettings,
    files: Files,
    mut db: TenantDb,
    address: ClientAddress,
) -> Result<StatusCode> {
    in_person(&current)?;
    exchange_logo(&settings, &files, None).await?;
    record(&mut db, &current, address, "theme: logo").await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes in a picture, and makes it the logo.
///
/// # Errors
/// 422 when it is none, 413 when it is too large.
pub(crate) async fn set_logo<S, E>(settings: &TenantSettings, files: Files, bytes: S) -> Result<()>
where
    S: Stream<Item = Result<Bytes, E>> + Send + Unpin,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let version = pictures::take_logo(files.clone(), bytes).await?;
    let set = exchange_logo(settings, &files, Some(version)).await;
    if set.is_err() {
        pictures::forget_logo(&files, version).await;
    }
    set
}

/// Makes that the logo, and removes the one before.
pub(crate) async fn exchange_logo(
    settings: &TenantSettings,
    files: &Files,
    logo: Option<Uuid>,
) -> Result<()> {
    let before = Mutex::new(None);
    let changed = settings.change(|theme: &mut Theme| {
        let was = std::mem::replace(&mut theme.logo, logo);
        *before
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = was;
    });
    changed.await.map_err(|error| match error {
        // the rest of it has to be mended first
        SettingsError::Broken { errors, .. } => Problem::invalid(errors),
        other => other.into(),
    })?;
    let before = before.into_inner().unwrap_or_default();
    if let Some(before) = before.filter(|before| Some(*before) != logo) {
        pictures::forget_logo(files, before).await;
    }
    Ok(())
}

/// Takes the theme away, with its logo.
pub(crate) async fn reset(settings: &TenantSettings, files: &Files) -> Result<()> {
    let logo = logo_of(settings).await?;
    settings.reset(Theme::NAME).await?;
    if let Some(logo) = logo {
        pictures::forget_logo(files, logo).await;
    }
    Ok(())
}

/// Changes it field by field. A logo that is not here is none.
pub(crate) async fn patch(settings: &TenantSettings, files: &Files, patch: Fields) -> Result<()> {
    let wanted = patch.get("logo").and_then(Value::as_str);
    if let Some(Ok(logo)) = wanted.map(Uuid::parse_str)
        && !pictures::has_logo(files, logo).await?
    {
        return Err(Problem::invalid_field(
            "logo",
            "is none that was uploaded here",
        ));
    }
    let before = logo_of(settings).await?;
    settings.patch(Theme::NAME, patch).await?;
    let after = logo_of(settings).await?;
    if let Some(before) = before.filter(|_| before != after) {
        pictures::forget_logo(files, before).await;
    }
    Ok(())
}

/// Of a theme that cannot be read, too.
async fn logo_of(settings: &TenantSettings) -> Result<Option<Uuid>> {
    let group = find(settings, Theme::NAME).await?;
    let logo = group.fields.get("logo").and_then(Value::as_str);
    Ok(logo.and_then(|logo| Uuid::parse_str(logo).ok()))
}
