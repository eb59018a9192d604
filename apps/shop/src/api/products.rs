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
    routing::{ClientAddress, CurrentUser, Json, Path, Query, Result},
};
use uuid::Uuid;

use crate::{
    access::{Staff, record_stand_in},
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
    address: ClientAddress,
    Json(new): Json<NewProduct>,
) -> Result<Response> {
    let fields = validated(&new.name, &new.code, new.price.0)?;
    let product = make(&db, by.as_deref(), address, fields).await?;
    let location = [(header::LOCATION, format!("/api/products/{}", product.id))];
    Ok((StatusCode::CREATED, location, Json(product)).into_response())
}

pub(crate) async fn replace(
    Staff(by): Staff,
    db: TenantDb,
    address: ClientAddress,
    Path(id): Path<Uuid>,
    Json(new): Json<NewProduct>,
) -> Result<Json<Product>> {
    Product::get(&db, id).await?;
    let fields = validated(&new.name, &new.code, new.price.0)?;
    let changed = change(&db, by.as_deref(), address, id, fields.into());
    changed.await.map(Json)
}

pub(crate) async fn update(
    Staff(by): Staff,
    db: TenantDb,
    address: ClientAddress,
    Path(id): Path<Uuid>,
    Json(changed): Json<ChangedProduct>,
) -> Result<Json<Product>> {
    Product::get(&db, id).await?;
    let mut errors = Errors::default();
    let wanted = ProductChange {
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
    let changed = change(&db, by.as_deref(), address, id, wanted);
    changed.await.map(Json)
}

pub(crate) async fn delete(
    Staff(by): Staff,
    db: TenantDb,
    address: ClientAddress,
    Path(id): Path<Uuid>,
) -> Result<StatusCode> {
    remove(&db, by.as_deref(), address, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Adds a product. Of this and the two that follow, the log tells when an operator does it in
/// somebody's place.
pub(crate) async fn make(
    db: &TenantDb,
    by: Option<&CurrentUser>,
    address: ClientAddress,
    fields: ProductFields,
) -> Result<Product> {
    let mut tx = db.begin();
    let product = Product::create(&mut tx, fields, by.map(|by| by.user.id)).await?;
    record_stand_in(&mut tx, by, "product-added", &product.name, address).await?;
    tx.commit().await?;
    Ok(product)
}

pub(crate) async fn change(
    db: &TenantDb,
    by: Option<&CurrentUser>,
    address: ClientAddress,
    id: Uuid,
    change: ProductChange,
) -> Result<Product> {
    let mut tx = db.begin();
    let product = Product::update(&mut tx, id, change).await?;
    record_stand_in(&mut tx, by, "product-changed", &product.name, address).await?;
    tx.commit().await?;
    Ok(product)
}

pub(crate) async fn remove(
    db: &TenantDb,
    by: Option<&CurrentUser>,
    address: ClientAddress,
    id: Uuid,
) -> Result<()> {
    let mut tx = db.begin();
    let product = Product::delete(&mut tx, id).await?;
    record_stand_in(&mut tx, by, "product-removed", &product.name, address).await?;
    tx.commit().await?;
    Ok(())
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
