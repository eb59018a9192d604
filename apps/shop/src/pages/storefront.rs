//! A shop's front: its products.

use std::collections::HashMap;

use axum::{http::StatusCode, response::Response};
use serde::Deserialize;
use tenantry::{
    Tenant,
    db::TenantDb,
    routing::{CurrentUser, Query, Result},
};
use uuid::Uuid;

use super::{html, shop_view, viewer};
use crate::{
    listing::{self, Page, Wanted},
    models::product::Product,
    views::{ProductView, Storefront},
};

const PRODUCTS_PER_PAGE: u32 = 24;

#[derive(Deserialize)]
pub(crate) struct Asked {
    q: Option<String>,
    cursor: Option<String>,
}

pub(crate) async fn show(
    tenant: Tenant,
    db: TenantDb,
    current: Option<CurrentUser>,
    Query(asked): Query<Asked>,
) -> Result<Response> {
    let wanted = Wanted {
        limit: Some(PRODUCTS_PER_PAGE),
        cursor: asked.cursor,
        order: None,
        q: asked.q,
    };
    let page: Page<Product> = listing::page(&tenant, &db, &wanted).await?;
    let names = first_names(&db).await?;
    let storefront = Storefront {
        shop: shop_view(&tenant, &db).await?,
        viewer: current.map(|current| viewer(&current)),
        products: page
            .items
            .into_iter()
            .map(|product| shown(product, &names))
            .collect(),
        query: wanted.q.unwrap_or_default(),
        next: page.next,
    };
    html(StatusCode::OK, &storefront)
}

fn shown(product: Product, names: &HashMap<Uuid, String>) -> ProductView {
    ProductView {
        id: product.id.to_string(),
        name: product.name,
        code: product.code,
        price: Some(product.price.to_string()),
        added_by: product.added_by.and_then(|id| names.get(&id).cloned()),
        added_on: product.added_on.format("%-d %B %Y").to_string(),
    }
}

/// Who works here, by id: shops have few people and many products.
async fn first_names(db: &TenantDb) -> Result<HashMap<Uuid, String>> {
    let people: Vec<(Uuid, String)> = db.query("SELECT id, first_name FROM users").all().await?;
    Ok(people.into_iter().collect())
}
