//! The endpoint, as the template has handlers.

use axum::{Json, http::StatusCode};
use rustango::{
    extractors::{Tenant, TenantScope},
    prelude::*,
    sql::{ExecError, Pool, transaction_pool},
};

use crate::models::Product;

type Answer<T> = Result<T, StatusCode>;

fn failed<E>(_: E) -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
}

pub async fn list(mut tenant: Tenant) -> Answer<Json<Vec<Product>>> {
    let connection = tenant.conn().await.map_err(failed)?;
    let products = Product::objects()
        .order_by(&[("name", false)])
        .limit(20)
        .fetch_on(connection)
        .await;
    products.map(Json).map_err(failed)
}

pub async fn add(
    tenant: Tenant,
    Json(product): Json<Product>,
) -> Answer<(StatusCode, Json<Product>)> {
    insert(tenant.pool(), &product).await.map_err(failed)?;
    Ok((StatusCode::CREATED, Json(product)))
}

/// With the extractor that its documentation prefers where only the pool is used.
pub async fn list_by_pool(tenant: TenantScope) -> Answer<Json<Vec<Product>>> {
    let products = Product::objects()
        .order_by(&[("name", false)])
        .limit(20)
        .fetch(tenant.pool())
        .await;
    products.map(Json).map_err(failed)
}

pub async fn add_by_pool(
    tenant: TenantScope,
    Json(product): Json<Product>,
) -> Answer<(StatusCode, Json<Product>)> {
    insert(tenant.pool(), &product).await.map_err(failed)?;
    Ok((StatusCode::CREATED, Json(product)))
}

async fn insert(pool: &Pool, product: &Product) -> Result<(), ExecError> {
    let mut transaction = transaction_pool(pool).await?;
    product.insert_tx(&mut transaction).await?;
    transaction.commit().await?;
    Ok(())
}
