//! Keys for programs.

use axum::http::StatusCode;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use tenantry::{
    db::TenantDb,
    routing::{Can, ClientAddress, CurrentUser, Json, Path, Result},
    users::{ApiKey, ApiKeys, NewApiKey},
};
use uuid::Uuid;

use super::auth::Items;
use crate::{
    access::{ManageKeys, SCOPES, by, in_person},
    validate::{self, Errors},
};

#[derive(Serialize)]
pub(crate) struct Key {
    id: Uuid,
    name: String,
    scopes: Vec<String>,
    prefix: String,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    used_at: Option<DateTime<Utc>>,
}

impl From<ApiKey> for Key {
    fn from(key: ApiKey) -> Self {
        Self {
            id: key.id,
            name: key.name,
            scopes: key.scopes,
            prefix: key.prefix,
            created_at: key.created_at,
            expires_at: key.expires_at,
            used_at: key.used_at,
        }
    }
}

#[derive(Serialize)]
pub(crate) struct MadeKey {
    #[serde(flatten)]
    key: Key,
    /// Shown this once.
    secret: String,
}

#[derive(Deserialize)]
pub(crate) struct WantedKey {
    name: String,
    scopes: Vec<String>,
    expires_at: Option<DateTime<Utc>>,
}

pub(crate) async fn list(_: Can<ManageKeys>, db: TenantDb) -> Result<Json<Items<Key>>> {
    let keys = ApiKeys::on(&db).list().await?;
    let items = keys.into_iter().map(Key::from).collect();
    Ok(Json(Items { items }))
}

pub(crate) async fn create(
    _: Can<ManageKeys>,
    current: CurrentUser,
    db: TenantDb,
    address: ClientAddress,
    Json(wanted): Json<WantedKey>,
) -> Result<(StatusCode, Json<MadeKey>)> {
    in_person(&current)?;
    let mut errors = Errors::default();
    let name = errors.check("name", validate::text(&wanted.name, 100));
    if wanted.scopes.is_empty() {
        errors.add("scopes", "must name at least one");
    }
    for scope in &wanted.scopes {
        if !SCOPES.contains(&scope.as_str()) {
            errors.add("scopes", format!("must be among {}", SCOPES.join(", ")));
        }
    }
    if wanted.expires_at.is_some_and(|end| end <= Utc::now()) {
        errors.add("expires_at", "must be in the future");
    }
    let century = Utc::now() + TimeDelta::days(36_500);
    if wanted.expires_at.is_some_and(|end| end > century) {
        errors.add("expires_at", "must be within a hundred years");
    }
    let Some(name) = name else {
        return Err(errors.into());
    };
    errors.finish()?;
    let new = NewApiKey {
        name,
        scopes: wanted.scopes,
        expires_at: wanted.expires_at,
        made_by: Some(current.user.id),
    };
    let keys = ApiKeys::on(&db).by(by(&current, address));
    let (key, secret) = keys.create(new).await?;
    let key = key.into();
    Ok((StatusCode::CREATED, Json(MadeKey { key, secret })))
}

pub(crate) async fn revoke(
    _: Can<ManageKeys>,
    current: CurrentUser,
    db: TenantDb,
    address: ClientAddress,
    Path(id): Path<Uuid>,
) -> Result<StatusCode> {
    let keys = ApiKeys::on(&db).by(by(&current, address));
    keys.revoke(id).await?;
    Ok(StatusCode::NO_CONTENT)
}
