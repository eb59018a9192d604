//! One product, as customers see it.

use axum::response::Response;
use tenantry::{
    Tenant,
    policy::Permissions,
    routing::{CurrentUser, Item, Result, Setting},
    scoped::{cache::TenantCache, settings::TenantSettings},
};

use super::{
    shop_view,
    storefront::{names_for, shown},
    viewer,
};
use crate::{
    models::{front::Front, product::Product},
    themes,
    views::ProductPage,
};

pub(crate) async fn show(
    item: Item<Product>,
    tenant: Tenant,
    current: Option<CurrentUser>,
    permissions: Permissions,
    cache: TenantCache,
    settings: TenantSettings,
    Setting(front): Setting<Front>,
) -> Result<Response> {
    let (db, product) = (item.db, item.node.object);
    let names = names_for(std::slice::from_ref(&product), &cache, &db).await?;
    let page = ProductPage {
        announcement: front.announcement,
        shop: shop_view(&tenant, &db).await?,
        viewer: current.map(|current| viewer(&current, &permissions)),
        product: shown(product, &names, front.show_prices),
    };
    themes::show(page, &tenant, &settings, &db).await
}
