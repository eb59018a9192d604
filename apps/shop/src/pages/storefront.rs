//! A shop's front: its products.

use std::{collections::HashMap, time::Duration};

use axum::response::Response;
use serde::Deserialize;
use tenantry::{
    Tenant,
    db::{TenantDb, TenantScope},
    policy::Permissions,
    resources::{self, Wanted},
    routing::{CurrentUser, Query, Result, Setting},
    scoped::{
        cache::{CacheKey, TenantCache},
        settings::TenantSettings,
    },
};
use uuid::Uuid;

use super::{shop_view, viewer};
use crate::{
    models::{front::Front, product::Product},
    themes,
    views::{ProductView, Storefront},
};

const PRODUCTS_PER_PAGE: u32 = 24;

#[derive(Default, Deserialize)]
pub(crate) struct Asked {
    q: Option<String>,
    cursor: Option<String>,
}

#[expect(clippy::too_many_arguments, reason = "each is what the page shows")]
pub(crate) async fn show(
    tenant: Tenant,
    db: TenantDb,
    current: Option<CurrentUser>,
    permissions: Permissions,
    cache: TenantCache,
    settings: TenantSettings,
    Setting(front): Setting<Front>,
    Query(asked): Query<Asked>,
) -> Result<Response> {
    let seen = Seen {
        tenant: &tenant,
        db: &db,
        current: current.as_ref(),
        permissions: &permissions,
        cache: &cache,
    };
    let storefront = storefront(seen, front, asked).await?;
    themes::show(storefront, &tenant, &settings, &db).await
}

/// What a page of the storefront is made from.
pub(super) struct Seen<'r> {
    pub(super) tenant: &'r Tenant,
    pub(super) db: &'r TenantDb,
    pub(super) current: Option<&'r CurrentUser>,
    pub(super) permissions: &'r Permissions,
    pub(super) cache: &'r TenantCache,
}

pub(super) async fn storefront(seen: Seen<'_>, front: Front, asked: Asked) -> Result<Storefront> {
    let mut wanted = Wanted::default();
    wanted.limit = Some(PRODUCTS_PER_PAGE);
    wanted.cursor = asked.cursor;
    wanted.q = asked.q;
    let (db, permissions) = (seen.db, seen.permissions);
    let page = resources::page::<Product>(db, permissions, &(), &wanted).await?;
    let names = names_for(&page.items, seen.cache, db).await?;
    Ok(Storefront {
        announcement: front.announcement,
        shop: shop_view(seen.tenant, db).await?,
        viewer: seen.current.map(|current| viewer(current, permissions)),
        products: page
            .items
            .into_iter()
            .map(|product| shown(product, &names, front.show_prices))
            .collect(),
        query: wanted.q.unwrap_or_default(),
        next: page.next,
    })
}

pub(super) fn shown(product: Product, names: &HashMap<Uuid, String>, price: bool) -> ProductView {
    ProductView {
        id: product.id.to_string(),
        name: product.name,
        code: product.code,
        price: price.then(|| product.price.to_string()),
        added_by: product.added_by.and_then(|id| names.get(&id).cloned()),
        added_on: product.added_on.format("%-d %B %Y").to_string(),
        picture: product.picture.map(|version| version.to_string()),
    }
}

/// The first names of those who work here, which every visitor of the storefront sees.
pub(crate) struct FirstNames;

impl CacheKey for FirstNames {
    type Scope = TenantScope;
    type Value = HashMap<Uuid, String>;
    const NAME: &'static str = "first-names";
    const LIFE: Duration = Duration::from_secs(60);
}

/// Those who added the products, among others: whoever is new is looked for at once.
pub(super) async fn names_for(
    products: &[Product],
    cache: &TenantCache,
    db: &TenantDb,
) -> Result<HashMap<Uuid, String>> {
    let known = cache.get_or_load(&FirstNames, first_names(db)).await?;
    let mut adders = products.iter().filter_map(|product| product.added_by);
    if adders.all(|id| known.contains_key(&id)) {
        return Ok(known);
    }
    let names = first_names(db).await?;
    cache.put(&FirstNames, &names).await;
    Ok(names)
}

/// Shops have few people and many products.
async fn first_names(db: &TenantDb) -> Result<HashMap<Uuid, String>> {
    let people: Vec<(Uuid, String)> = db.query("SELECT id, first_name FROM users").all().await?;
    Ok(people.into_iter().collect())
}
