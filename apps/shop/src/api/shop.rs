//! The shop itself.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use tenantry::{
    Tenancy, Tenant,
    db::TenantDb,
    routing::{Json, Problem, Result},
};
use uuid::Uuid;

use crate::{
    access::Manager,
    models::profile::Profile,
    validate::{self, Errors},
};

#[derive(Serialize)]
pub(crate) struct ShopShown {
    id: Uuid,
    code: String,
    name: String,
    created_at: DateTime<Utc>,
    profile: Profile,
}

#[derive(Deserialize)]
pub(crate) struct ShopChange {
    name: Option<String>,
    #[serde(default)]
    profile: ProfileChange,
}

#[derive(Default, Deserialize)]
struct ProfileChange {
    /// `Some(None)` takes it away.
    #[serde(default, deserialize_with = "present")]
    tagline: Option<Option<String>>,
    currency: Option<String>,
}

/// Tells a field that is null from one that is not there.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(from).map(Some)
}

fn shown(tenant: &Tenant, name: String, profile: Profile) -> Json<ShopShown> {
    Json(ShopShown {
        id: *tenant.id().as_uuid(),
        code: tenant.code().to_string(),
        name,
        created_at: tenant.created_at(),
        profile,
    })
}

pub(crate) async fn show(tenant: Tenant, db: TenantDb) -> Result<Json<ShopShown>> {
    let profile = Profile::read(&db).await?;
    Ok(shown(&tenant, tenant.name().into(), profile))
}

pub(crate) async fn update(
    Manager(_): Manager,
    tenancy: Tenancy,
    tenant: Tenant,
    db: TenantDb,
    Json(change): Json<ShopChange>,
) -> Result<Json<ShopShown>> {
    let mut errors = Errors::default();
    let mut profile = Profile::read(&db).await?;
    let mut name = tenant.name().to_owned();
    if let Some(new) = &change.name {
        name = errors
            .check("name", validate::text(new, 200))
            .unwrap_or(name);
    }
    if let Some(tagline) = &change.profile.tagline {
        let checked = validate::optional_text(tagline.as_deref().unwrap_or(""), 200);
        profile.tagline = errors
            .check("profile.tagline", checked)
            .filter(|tagline| !tagline.is_empty());
    }
    if let Some(currency) = &change.profile.currency {
        let checked = errors.check("profile.currency", validate::currency(currency));
        profile.currency = checked.unwrap_or(profile.currency);
    }
    errors.finish()?;
    profile.write(&db).await?;
    if name != tenant.name() {
        tenancy
            .set_name(&tenant, &name)
            .await
            .map_err(Problem::from)?;
    }
    Ok(shown(&tenant, name, profile))
}
