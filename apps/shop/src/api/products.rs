//! What a shop sells. Anybody may look; those who work there may change it.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use rust_decimal::Decimal;
use serde::Deserialize;
use tenantry::{
    Tenant,
    db::TenantDb,
    routing::{Json, Path, Query, Result},
};
use uuid::Uuid;

use crate::{
    access::Staff,
    amount::Amount,
    listing::{self, Page, Wanted},
    models::product::{Product, ProductChange, ProductFields},
    validate::{self, Errors},
};

#[derive(Deserialize)]
pub(crate) struct NewProduct {
    name: String,
    code: String,
    #[serde(default)]
    price: Amount,
}

#[derive(Deserialize)]
pub(crate) struct ChangedProduct {
    name: Option<String>,
    code: Option<String>,
    price: Option<Amount>,
}

pub(crate) async fn list(
    tenant: Tenant,
    db: TenantDb,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Page<Product>>> {
    listing::page(&tenant, &db, &wanted).await.map(Json)
}

pub(crate) async fn show(db: TenantDb, Path(id): Path<Uuid>) -> Result<Json<Product>> {
    Ok(Json(Product::get(&db, id).await?))
}

pub(crate) async fn create(
    Staff(by): Staff,
    db: TenantDb,
    Json(new): Json<NewProduct>,
) -> Result<Response> {
    let fields = validated(&new.name, &new.code, new.price.0)?;
    let product = Product::create(&db, fields, by).await?;
    let location = [(header::LOCATION, format!("/api/products/{}", product.id))];
    Ok((StatusCode::CREATED, location, Json(product)).into_response())
}

pub(crate) async fn replace(
    Staff(_): Staff,
    db: TenantDb,
    Path(id): Path<Uuid>,
    Json(new): Json<NewProduct>,
) -> Result<Json<Product>> {
    Product::get(&db, id).await?;
    let fields = validated(&new.name, &new.code, new.price.0)?;
    Product::update(&db, id, fields.into()).await.map(Json)
}

pub(crate) async fn update(
    Staff(_): Staff,
    db: TenantDb,
    Path(id): Path<Uuid>,
    Json(changed): Json<ChangedProduct>,
) -> Result<Json<Product>> {
    Product::get(&db, id).await?;
    let mut errors = Errors::default();
    let change = ProductChange {
        name: changed
            .name
            .and_then(|text| errors.check("name", name(&text))),
        code: changed
            .code
            .and_then(|text| errors.check("code", code(&text))),
        price: changed
            .price
            .and_then(|price| errors.check("price", validate::price(price.0))),
    };
    errors.finish()?;
    Product::update(&db, id, change).await.map(Json)
}

pub(crate) async fn delete(
    Staff(_): Staff,
    db: TenantDb,
    Path(id): Path<Uuid>,
) -> Result<StatusCode> {
    Product::delete(&db, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The fields, if they can be taken.
pub(crate) fn validated(new_name: &str, new_code: &str, price: Decimal) -> Result<ProductFields> {
    let mut errors = Errors::default();
    let name = errors.check("name", name(new_name));
    let code = errors.check("code", code(new_code));
    let price = errors.check("price", validate::price(price));
    match (name, code, price) {
        (Some(name), Some(code), Some(price)) => Ok(ProductFields { name, code, price }),
        _ => Err(errors.into()),
    }
}

fn name(text: &str) -> Result<String, String> {
    validate::text(text, 200)
}

fn code(text: &str) -> Result<String, String> {
    validate::text(text, 64)
}
