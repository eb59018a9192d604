//! The shop's settings: read and changed by those who manage it. Secrets are told to nobody.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde::Serialize;
use tenantry::{
    db::TenantDb,
    routing::{Can, ClientAddress, CurrentUser, Json, Path, Problem, Result},
    scoped::{
        files::Files,
        settings::{Fields, Settings, Shown, TenantSettings},
    },
    users::{Audit, Event},
};

use super::theme;
use crate::{
    access::{ChangeShop, acting, in_person},
    models::theme::Theme,
};

#[derive(Serialize)]
pub(crate) struct Group {
    fields: Fields,
    /// What the shop has said itself; the rest is as by default.
    told: Vec<String>,
    secrets: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl From<Shown> for Group {
    fn from(shown: Shown) -> Self {
        Self {
            fields: shown.fields,
            told: shown.told.into_iter().collect(),
            secrets: shown.secrets,
            error: shown.error,
        }
    }
}

pub(crate) async fn list(
    _: Can<ChangeShop>,
    settings: TenantSettings,
) -> Result<Json<BTreeMap<&'static str, Group>>> {
    let shown = settings.shown().await?;
    let groups = shown.into_iter().map(|one| (one.name, one.into()));
    Ok(Json(groups.collect()))
}

/// Who stands in for somebody changes none: mail that goes elsewhere outlasts that.
#[expect(clippy::too_many_arguments, reason = "each is what a change needs")]
pub(crate) async fn update(
    _: Can<ChangeShop>,
    current: CurrentUser,
    settings: TenantSettings,
    files: Files,
    mut db: TenantDb,
    address: ClientAddress,
    Path(group): Path<String>,
    Json(patch): Json<Fields>,
) -> Result<Json<Group>> {
    in_person(&current)?;
    find(&settings, &group).await?;
    let fields: Vec<&str> = patch.keys().map(String::as_str).collect();
    let what = format!("{group}: {}", fields.join(", "));
    match group.as_str() {
        Theme::NAME => theme::patch(&settings, &files, patch).await?,
        _ => drop(settings.patch(&group, patch).await?),
    }
    record(&mut db, &current, address, &what).await?;
    Ok(Json(find(&settings, &group).await?.into()))
}

pub(crate) async fn reset(
    _: Can<ChangeShop>,
    current: CurrentUser,
    settings: TenantSettings,
    files: Files,
    mut db: TenantDb,
    address: ClientAddress,
    Path(group): Path<String>,
) -> Result<StatusCode> {
    in_person(&current)?;
    find(&settings, &group).await?;
    match group.as_str() {
        Theme::NAME => theme::reset(&settings, &files).await?,
        _ => drop(settings.reset(&group).await?),
    }
    record(&mut db, &current, address, &group).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn find(settings: &TenantSettings, group: &str) -> Result<Shown> {
    let shown = settings.shown().await?;
    let found = shown.into_iter().find(|one| one.name == group);
    found.ok_or_else(Problem::not_found)
}

pub(crate) async fn record(
    db: &mut TenantDb,
    current: &CurrentUser,
    address: ClientAddress,
    what: &str,
) -> Result<()> {
    let event = acting(Event::new("settings-changed", &current.user), current);
    let event = event.about(what).from(address.0);
    Ok(Audit::on(db).record(event).await?)
}
