//! The shop itself.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use tenantry::{
    Tenancy, Tenant,
    db::TenantDb,
    routing::{Can, ClientAddress, CurrentUser, Json, Problem, Result},
    users::{Audit, Event},
};
use uuid::Uuid;

use crate::{
    access::{ChangeShop, acting},
    models::profile::{Profile, ProfileChange},
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
pub(crate) struct ChangedShop {
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) profile: ChangedProfile,
}

#[derive(Default, Deserialize)]
pub(crate) struct ChangedProfile {
    /// `Some(None)` takes it away.
    #[serde(default, deserialize_with = "present")]
    pub(crate) tagline: Option<Option<String>>,
    pub(crate) currency: Option<String>,
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
    _: Can<ChangeShop>,
    current: CurrentUser,
    tenancy: Tenancy,
    tenant: Tenant,
    db: TenantDb,
    address: ClientAddress,
    Json(changed): Json<ChangedShop>,
) -> Result<Json<ShopShown>> {
    change(&current, &tenancy, &tenant, db, address, changed).await
}

/// Changes the shop, for somebody who may.
pub(crate) async fn change(
    current: &CurrentUser,
    tenancy: &Tenancy,
    tenant: &Tenant,
    mut db: TenantDb,
    address: ClientAddress,
    changed: ChangedShop,
) -> Result<Json<ShopShown>> {
    let mut errors = Errors::default();
    let name = changed
        .name
        .and_then(|name| errors.check("name", validate::text(&name, 200)));
    let tagline = changed.profile.tagline.and_then(|tagline| {
        let checked = validate::optional_text(tagline.as_deref().unwrap_or(""), 200);
        errors.check("profile.tagline", checked)
    });
    let currency = changed
        .profile
        .currency
        .and_then(|currency| errors.check("profile.currency", validate::currency(&currency)));
    errors.finish()?;
    let change = ProfileChange {
        tagline: tagline.map(|tagline| Some(tagline).filter(|text| !text.is_empty())),
        currency,
    };
    let profile = Profile::change(&db, change).await?;
    if let Some(name) = &name {
        tenancy
            .set_name(tenant, name)
            .await
            .map_err(Problem::from)?;
    }
    let event = acting(Event::new("shop-changed", &current.user), current);
    Audit::on(&mut db).record(event.from(address.0)).await?;
    let name = name.unwrap_or_else(|| tenant.name().into());
    Ok(shown(tenant, name, profile))
}
